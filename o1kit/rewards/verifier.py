"""`Verifier`: 1 for an answer that the problem's own scorer accepts in full, else 0, by way of the killable pool."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import get_args
from weakref import WeakKeyDictionary

from o1kit.errors import DataError
from o1kit.rewards.pool import Job, Outcome, ScoringPool, Verdict
from o1kit.tasks.suite import Suite
from o1kit.types import GroundTruth, Score, State

MIN_JUDGED = 20
"""Answers judged before their share of failures counts; at the end it counts in any case."""

_Waiting = list[tuple[Job, asyncio.Future[Score]]]


class Verifier:
    """Judges final answers; every score is an oracle's. Errors and timeouts count as 0, but only up to a share.

    `answer_of` finds the final answer of a chain (`Policy.answer`); the batch API does without it. `max_failures` is
    the recipe's unless it is given.
    """

    def __init__(
        self,
        suite: Suite,
        pool: ScoringPool,
        answer_of: Callable[[State], str | None] | None = None,
        max_failures: float | None = None,
    ) -> None:
        self.suite, self.pool = suite, pool
        self.max_failures = suite.grading.max_failures if max_failures is None else max_failures
        self.counts: Counter[Outcome] = Counter()
        self._told: Counter[Outcome] = Counter()
        self._reason = [""]
        self._answer_of = answer_of
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, _Waiting] = WeakKeyDictionary()
        self._flushes: set[asyncio.Task[None]] = set()

    def reading(self, answer_of: Callable[[State], str | None]) -> Verifier:
        """The same with another way to find answers: what it judges counts here too."""
        other = Verifier(self.suite, self.pool, answer_of, self.max_failures)
        other.counts, other._reason = self.counts, self._reason
        return other

    async def score(self, state: State) -> Score:
        """The verdict on the chain's final answer. Calls made in one turn of the event loop are judged together.

        Raises:
            DataError: too large a share of all answers so far ended in an error or a timeout.
        """
        if self._answer_of is None:
            raise ValueError("a verifier of chains needs `answer_of`, the function that finds their final answer")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Score] = loop.create_future()
        waiting = self._waiting.setdefault(loop, [])
        waiting.append((self._job(self.suite.truth(state.problem), self._answer_of(state)), future))
        if len(waiting) == 1:
            loop.call_soon(self._start_flush, loop)
        return await future

    def score_answers(self, pairs: Sequence[tuple[GroundTruth, str | None]]) -> list[Score]:
        """One verdict a pair, in order.

        Raises:
            DataError: too large a share of all answers so far ended in an error or a timeout.
        """
        return self._scores(self.pool.judge([self._job(truth, answer) for truth, answer in pairs]))

    def check(self, *, end: bool = False) -> None:
        """Looks at the share of failures, early on only at the `end` of the stage.

        Raises:
            DataError: it is too large.
        """
        failed = self.counts["error"] + self.counts["timeout"]
        judged = self.counts.total() - self.counts["no_answer"]
        if failed > self.max_failures * judged and (end or judged >= MIN_JUDGED):
            raise DataError(
                f"the verifier could not judge {failed} of {judged} answers ({self.counts['error']} errors, "
                f"{self.counts['timeout']} timeouts), more than {self.max_failures:.0%}. The last one: "
                f"{self._reason[0]}. Raise grading.timeout_s, grading.memory_mb or grading.max_failures, or repair the "
                "task's scorer."
            )

    def take(self) -> dict[str, float]:
        """How many answers had each outcome since the last call, for logs; outcomes that never came are 0."""
        fresh = {name: float(self.counts[name] - self._told[name]) for name in get_args(Outcome)}
        self._told = self.counts.copy()
        return fresh

    def _job(self, truth: GroundTruth, answer: str | None) -> Job:
        return Job(self.suite.scorer_of(truth), truth, answer)

    def _start_flush(self, loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(self._flush(self._waiting.pop(loop)))
        self._flushes.add(task)
        task.add_done_callback(self._flushes.discard)

    async def _flush(self, waiting: _Waiting) -> None:
        try:
            scores = self._scores(await self.pool.judge_async([job for job, _ in waiting]))
        except Exception as error:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), score in zip(waiting, scores, strict=True):
            if not future.done():
                future.set_result(score)

    def _scores(self, verdicts: Sequence[Verdict]) -> list[Score]:
        self.counts.update(verdict.outcome for verdict in verdicts)
        failures = [v.detail for v in verdicts if v.outcome in ("error", "timeout")]
        self._reason[:] = failures[-1:] or self._reason
        self.check()
        return [Score(float(v.outcome == "right"), "verifier", oracle=True, outcome=v.outcome) for v in verdicts]


def verifier_of(suite: Suite, answer_of: Callable[[State], str | None] | None = None) -> Verifier:
    """A verifier with a pool of its own, as the recipe's `grading` describes them; workers start when first needed."""
    grading = suite.grading
    return Verifier(suite, ScoringPool(grading.num_workers, grading.timeout_s, grading.memory_mb), answer_of)
