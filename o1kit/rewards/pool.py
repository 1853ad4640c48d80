"""`ScoringPool`: answers are judged in processes that can be killed, so none can hang or crash the run.

A scorer may loop, exhaust memory, or end its process on a hostile answer. An alarm-based time limit would work only in
the main thread; here each answer has a limit of its own in a worker, and every end is a typed outcome that is counted.
Scorers that say `confined = True` are served by workers that can do nothing but judge (see `worker`). The others are
limited, not confined: one that executes answers as code still needs a sandbox of its own.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Literal, NamedTuple, Self

from o1kit.rewards.process import Ended, Reply, WorkerProcess
from o1kit.tasks.source import RIGHT, Scorer
from o1kit.types import GroundTruth

Outcome = Literal["right", "wrong", "no_answer", "error", "timeout"]
CHUNK, MIN_CHUNK = 256, 32
"""Most answers in one request, and fewest worth a second worker."""
CHUNK_CHARS = 4_000_000
"""Most characters of answers in one request."""
MAX_ANSWERS = 20_000
"""A worker is replaced after so many: caches of the libraries that judge grow, and its memory is limited."""
GRACE_S = 1.0
"""How much later than the worker's own timer the pool kills it."""


class Job(NamedTuple):
    """One answer to judge; the scorer must be importable by name in another process."""

    scorer: Scorer
    truth: GroundTruth
    answer: str | None


class Verdict(NamedTuple):
    """What became of one answer: `credit` in [0, 1] is the scorer's, `detail` says what went wrong."""

    outcome: Outcome
    credit: float = 0.0
    detail: str = ""


class ScoringPool:
    """A few worker processes, started on first use, replaced after a crash or a timeout; usable from any thread."""

    def __init__(self, num_workers: int = 2, timeout_s: float = 5.0, memory_mb: int = 2048) -> None:
        self.num_workers, self.timeout_s, self.memory_mb = num_workers, timeout_s, memory_mb
        self.counts: Counter[Outcome] = Counter()
        self.restarts = 0
        self._lock = threading.Lock()
        self._idle: list[WorkerProcess] = []
        self._alive: set[WorkerProcess] = set()
        self._threads = ThreadPoolExecutor(num_workers, thread_name_prefix="o1kit-scoring")
        self._end = weakref.finalize(self, _kill_all, self._alive)  # also at interpreter exit

    def judge(self, jobs: Sequence[Job]) -> list[Verdict]:
        """One verdict a job, in order.

        Raises:
            EnvironmentFailure: workers cannot be started on this machine.
        """
        futures = self._submit(jobs)
        try:
            return list(chain.from_iterable(future.result() for future in futures))
        except BaseException:
            for future in futures:
                future.cancel()
            raise

    async def judge_async(self, jobs: Sequence[Job]) -> list[Verdict]:
        """Like `judge`, without blocking the event loop."""
        verdicts = await asyncio.gather(*(asyncio.wrap_future(future) for future in self._submit(jobs)))
        return list(chain.from_iterable(verdicts))

    def close(self) -> None:
        """Kills the workers; the pool cannot be used afterwards."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._end()
        self._threads.shutdown(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _submit(self, jobs: Sequence[Job]) -> list[Future[list[Verdict]]]:
        size = min(CHUNK, max(MIN_CHUNK, -(-len(jobs) // self.num_workers)))
        return [self._threads.submit(self._run, chunk) for chunk in _chunks(jobs, size)]

    def _run(self, jobs: Sequence[Job]) -> list[Verdict]:
        """The verdicts of one chunk. Every round settles at least one job, or halves what it sends at once."""
        verdicts = [Verdict("no_answer") if job.answer is None else None for job in jobs]
        for confined in (False, True):
            kind = [i for i, job in enumerate(jobs) if getattr(job.scorer, "confined", False) is confined]
            waiting = [i for i in kind if verdicts[i] is None]
            size = len(waiting)
            while waiting:
                settled = self._round([jobs[i] for i in waiting[:size]], confined)
                if not settled and size == 1:
                    settled = [Verdict("error", detail="the worker ended while loading the scorer")]
                for i, verdict in zip(waiting, settled, strict=False):
                    verdicts[i] = verdict
                waiting = waiting[len(settled) :]
                size = 2 * size if settled else max(1, size // 2)
        done = [verdict for verdict in verdicts if verdict is not None]
        with self._lock:
            self.counts.update(verdict.outcome for verdict in done)
        return done

    def _round(self, jobs: Sequence[Job], confined: bool) -> list[Verdict]:
        """Verdicts of the first jobs, up to and including one that ended the worker; none if it did not come so far."""
        try:
            request = pickle.dumps((self.timeout_s, [tuple(job) for job in jobs]), pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # pickle raises what the object's own code raises
            return [Verdict("error", detail=f"cannot be sent to a worker: {error}")] if len(jobs) == 1 else []
        worker = self._lease(confined)
        verdicts: list[Verdict] = []
        healthy = False
        try:
            for reply in worker.ask(request, len(jobs), self.timeout_s + GRACE_S):
                healthy = not isinstance(reply, Ended) and len(verdicts) + 1 == len(jobs) and not _exhausted(reply)
                verdicts.append(_verdict(reply))
        finally:
            worker.answers += len(verdicts)
            self._give_back(worker, healthy and worker.answers < MAX_ANSWERS)
        return verdicts

    def _lease(self, confined: bool) -> WorkerProcess:
        with self._lock:
            if not self._end.alive:
                raise RuntimeError("the scoring pool is closed")
            for worker in [worker for worker in reversed(self._idle) if worker.confined is confined]:
                self._idle.remove(worker)
                if worker.alive:
                    return worker
                self._alive.discard(worker)
                worker.kill()
            worker = WorkerProcess(self.memory_mb, confined)
            self._alive.add(worker)
            return worker

    def _give_back(self, worker: WorkerProcess, healthy: bool) -> None:
        with self._lock:
            if healthy and self._end.alive:
                self._idle.append(worker)
                return
            self._alive.discard(worker)
            self.restarts += 1
        worker.kill()


def _exhausted(reply: Reply) -> bool:
    """True when the answer took all the memory there was: what is left may not do for the next one."""
    return not isinstance(reply, Ended) and str(reply[1]).startswith("MemoryError")


def _verdict(reply: Reply) -> Verdict:
    """A worker's reply as an outcome: only exactly full credit is right."""
    if isinstance(reply, Ended):
        return Verdict(reply.outcome, detail=reply.detail)
    credit, error = reply
    if credit is None:
        return Verdict("error", detail=error or "")
    if not 0.0 <= credit <= 1.0 + 1e-9:  # sums of parts exceed 1 by rounding; NaN fails the comparison
        return Verdict("error", detail=f"the scorer gave {credit}, not a credit in [0, 1]")
    return Verdict("right" if credit == RIGHT else "wrong", min(credit, 1.0))


def _chunks(jobs: Sequence[Job], size: int) -> Iterable[Sequence[Job]]:
    """Consecutive runs of jobs, bounded in number and in characters."""
    start = chars = 0
    for i, job in enumerate(jobs):
        length = len(job.answer or "")
        if i > start and (i - start >= size or chars + length > CHUNK_CHARS):
            yield jobs[start:i]
            start, chars = i, 0
        chars += length
    if start < len(jobs):
        yield jobs[start:]


def _kill_all(workers: set[WorkerProcess]) -> None:
    for worker in list(workers):
        worker.kill()
    workers.clear()
