"""`TorchEngine`: samples and scores with a model in this process, many sequences at a time.

Sequences join and leave between tokens. A request is queued by `sample` or `score`; the engine runs once every
coroutine that could still add a request has had its turn, so no timer decides what is batched together. One forward
pass holds a token of every sequence in flight, the prompts of those that join, and the sequences to be scored, one
behind the other without padding.

Legend: n rows in flight, N tokens of a pass, V vocabulary.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from o1kit.engines.torch.flight import Flight
from o1kit.engines.torch.following import following_logprobs
from o1kit.engines.torch.forward import Forward
from o1kit.engines.torch.passes import Plan, Work
from o1kit.engines.torch.requests import SampleRequest, ScoreRequest
from o1kit.engines.torch.rows import Draft
from o1kit.errors import DataError, ResourceError
from o1kit.ledger import Ledger
from o1kit.models.language_model import LanguageModel
from o1kit.protocols import Sampling
from o1kit.types import Account, Completion, Finish, Usage

QUIET_TICKS = 3
"""Turns of the event loop without a new request before the engine runs."""
PREFILL_TOKENS = 8192
"""Most tokens of joining and scored sequences in one forward pass, unless a single one is longer."""
Decode = Callable[[Sequence[int]], str]


class Joined(NamedTuple):
    """Samples of one prompt that join a pass: their rows, the part of the prompt that is computed, all its tokens."""

    rows: slice
    work: Work
    tokens: list[int]


class TorchEngine:
    """An engine over one `LanguageModel`. Call `refresh` after the weights changed.

    `memory_mb` (MiB) bounds the keys and values: one half for sequences in flight, the other for cached prefixes. A
    sequence that finds no room for its next token leaves, and is taken up again later where it was. `decode` turns
    tokens into text and is needed for stop strings only. On CPU, `compiled` lets kernels.c draw tokens and run small
    models, where there is a C compiler.
    """

    def __init__(
        self,
        model: LanguageModel,
        eos_id: int,
        max_batch: int = 256,
        memory_mb: float = 1024,
        decode: Decode | None = None,
        *,
        compiled: bool = True,
    ) -> None:
        self.model, self.eos_id, self.max_batch, self.memory_mb = model, eos_id, max_batch, memory_mb
        self.ledger = Ledger()
        self.peak_bytes = 0
        half = int(memory_mb * 2**20 / 2)
        self._decode = decode
        self._passes = Forward(model, compiled)
        self._flight = Flight(max_batch, half, model.device, compiled)
        self._waiting: deque[SampleRequest] = deque()
        self._scores: deque[ScoreRequest] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._arrivals = 0

    @property
    def context_length(self) -> int:
        """The model's."""
        return self.model.context_length

    @property
    def usage(self) -> Usage:
        """All tokens computed so far."""
        return self.ledger.total

    def refresh(self) -> None:
        """Forgets cached prefixes: they belong to the old weights."""
        self._flight.prefixes.clear()
        self._passes.forget()

    async def sample(
        self, prompt: Sequence[int], n: int, sampling: Sampling, account: Account = Account()
    ) -> list[Completion]:
        """`n` continuations of `prompt`, each a function of (weights, prompt, sampling, its index) only.

        Raises:
            DataError: the prompt is empty, holds unknown tokens or leaves no room in the model's context.
            ResourceError: the longest possible sequence does not fit the engine's memory.
        """
        limit = min(len(prompt) + sampling.max_tokens, self.model.context_length)
        self._check(prompt, len(prompt) + 1, limit)
        if sampling.stop_strings and self._decode is None:
            raise ValueError("stop strings need an engine made with `decode`")
        sampling = replace(sampling, stop_ids=sampling.stop_ids | {self.eos_id})
        todo = deque((sampling.first + i, Draft(list(prompt))) for i in range(n))
        future = asyncio.get_running_loop().create_future()
        request = SampleRequest(tuple(prompt), n, sampling, account, limit, future, todo)
        self._waiting.append(request)
        self._wake()
        return await request.future

    async def score(
        self, tokens: Sequence[int], positions: Sequence[int], account: Account = Account(phase="score")
    ) -> list[float]:
        """The scalar head's raw output at each position (an index into `tokens`).

        Raises:
            DataError: the sequence is empty, holds unknown tokens or is longer than the model's context.
            ResourceError: it does not fit the engine's memory.
            ValueError: the model has no scalar head.
        """
        if not self.model.scores:
            raise ValueError("this model has no scalar head to read")
        return await self._read(tuple(tokens), tuple(positions), account)

    async def logprobs(
        self, tokens: Sequence[int], start: int, account: Account = Account(phase="score")
    ) -> list[float]:
        """The log-probability (nats, untempered) of each token from index `start` on, given all before it.

        Raises:
            DataError: the sequence holds unknown tokens or is longer than the model's context.
            ResourceError: it does not fit the engine's memory.
            ValueError: nothing is before or after `start`.
        """
        if not 0 < start < len(tokens):
            raise ValueError(f"no token of {len(tokens)} follows others from index {start} on")
        positions = tuple(range(start - 1, len(tokens) - 1))
        return await self._read(tuple(tokens), positions, account, tuple(tokens[start:]))

    async def _read(
        self, tokens: tuple[int, ...], positions: tuple[int, ...], account: Account, following: tuple[int, ...] = ()
    ) -> list[float]:
        self._check(tokens, len(tokens), len(tokens))
        future = asyncio.get_running_loop().create_future()
        self._scores.append(ScoreRequest(tokens, positions, account, future, following))
        self._wake()
        found: list[float] = await future
        return found

    def _check(self, tokens: Sequence[int], length: int, limit: int) -> None:
        if not tokens:
            raise DataError("an empty prompt cannot be continued.")
        if length > self.model.context_length:
            raise DataError(
                f"a sequence of {length} tokens does not fit the model's context of {self.model.context_length}. "
                "Use shorter problems or a model with a longer context."
            )
        known = self.model.vocabulary_size
        if not 0 <= min(tokens) <= max(tokens) < known:
            raise DataError(f"a sequence holds a token id outside the model's vocabulary of {known}.")
        if not self._flight.cache.settled:
            self._measure()
        if self._flight.cache.capacity(limit) < 1:
            raise ResourceError(
                f"a sequence of {limit} tokens needs {2 * self._flight.cache.bytes_of(limit) / 2**20:.3g} MiB of "
                f"engine memory, of which there are {self.memory_mb:g}. Raise engine.memory_mb or shorten the sequence."
            )

    @torch.inference_mode()
    def _measure(self) -> None:
        """Runs one token, which shows what a position takes, and makes the first slabs."""
        plan = Plan()
        plan.add(Work(0, 0, (self.eos_id,)))
        self._forward(plan)
        self._flight.cache.settle()
        self._flight.cache.resize(1, 0)

    # ---- the loop ------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._arrivals += 1
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._run())

    async def _settle(self) -> None:
        """Waits until no coroutine adds requests any more."""
        quiet, seen = 0, self._arrivals
        while quiet < QUIET_TICKS:
            await asyncio.sleep(0)
            quiet = quiet + 1 if self._arrivals == seen else 0
            seen = self._arrivals

    async def _run(self) -> None:
        was_training = self.model.training
        self.model.eval()
        try:
            await self._settle()
            while self._waiting or self._scores or self._flight.slots:
                self._look_at_weights()
                with torch.inference_mode():
                    freed = self._step()
                if freed:
                    await self._settle()
                else:
                    await asyncio.sleep(0)
        except Exception as error:
            self._fail(error)
        finally:
            self.model.train(was_training)

    @torch.inference_mode()
    def _look_at_weights(self) -> None:
        """Forgets what belongs to old weights: after `refresh`, and whenever no sequence is in flight."""
        if (self._passes.forgotten or not self._flight.slots) and self._passes.prepare(self._flight.cache):
            self._flight.prefixes.clear()

    def _fail(self, error: Exception) -> None:
        """Hands the error to every waiter and starts afresh."""
        requests = [*self._waiting, *(request for request, _ in self._flight.slots)]
        futures: list[asyncio.Future[Any]] = [r.future for r in requests]
        futures.extend(r.future for r in self._scores)
        for future in futures:
            if not future.done():
                future.set_exception(error)
        self._waiting.clear()
        self._scores.clear()
        self._flight.slots.clear()
        self.refresh()

    def _step(self) -> bool:
        """One forward pass: a token for every sequence in flight or joining, and scores; True if a request is done."""
        self._flight.drop_abandoned()
        self._waiting.extendleft(self._flight.make_room())
        plan = Plan()
        flying = len(self._flight.slots)
        if flying:
            plan.decode(*self._flight.rows.last(flying), self._flight.lengths())
        judged = self._choose_scores(plan)
        joined = self._join(plan, judged)
        works = self._place_scores(plan, judged)
        if not plan:
            return False
        hidden = self._forward(plan)
        for judge, work in zip(judged, works, strict=True):
            self._answer(judge, work, plan, hidden)
        for one in joined:
            self._share(one)
        ended = self._draw(hidden, plan, joined, flying) if self._flight.slots else []
        return self._retire(ended) or bool(judged)

    def _forward(self, plan: Plan) -> Tensor:
        """Hidden states [N, hidden] of the pass."""
        cache = self._flight.cache
        tokens_N, current = plan.build(cache, self.model.device, self._passes.segmented(cache))
        hidden = self._passes.hidden(tokens_N, current)
        self.peak_bytes = max(self.peak_bytes, self._flight.bytes)
        return hidden

    def _draw(self, hidden: Tensor, plan: Plan, joined: list[Joined], flying: int) -> list[int]:
        """The next token of each sequence; returns the rows that end."""
        last = [*range(flying)]
        for rows, work, _ in joined:
            last += [plan.last(work)] * (rows.stop - rows.start)
        hidden = hidden[: len(last)] if len(last) == flying else hidden[torch.tensor(last, device=hidden.device)]
        values = self.model.head_logits(hidden) if self.model.head is not None else None
        n = len(self._flight.slots)
        ended = self._flight.rows.append(n, self.model.logits(hidden), values)
        said = [row for row in range(n) if self._flight.slots[row][0].sampling.stop_strings and self._stopped(row)]
        return sorted({*ended, *said}) if said else ended

    # ---- scores --------------------------------------------------------------------------------------------------

    def _choose_scores(self, plan: Plan) -> list[ScoreRequest]:
        """The waiting sequences for which there are rows and room in this pass."""
        chosen: list[ScoreRequest] = []
        tokens = 0
        while self._scores and (not chosen or tokens < PREFILL_TOKENS):
            request = self._scores[0]
            if request.future.done():
                self._scores.popleft()
                continue
            longest = max(len(r.tokens) for r in (*chosen, request))
            if self._flight.room(len(self._flight.slots) + len(chosen), longest) <= 0:
                break
            tokens += len(request.tokens)
            chosen.append(self._scores.popleft())
        return chosen

    def _place_scores(self, plan: Plan, judged: Sequence[ScoreRequest]) -> list[Work]:
        """Puts them into the rows behind the samples, with what is cached of them."""
        works = []
        for row, request in enumerate(judged, len(self._flight.slots)):
            start = self._flight.restore(slice(row, row + 1), request.tokens[: min(request.positions)])
            works.append(Work(row, start, request.tokens[start:]))
            plan.add(works[-1])
            self.ledger.charge(request.account, Usage(scored=len(request.tokens) - start, cached=start))
        return works

    def _answer(self, request: ScoreRequest, work: Work, plan: Plan, hidden: Tensor) -> None:
        """Reads what was asked; a leaf of a tree, with one reading or one new step, is likely to go on and kept."""
        first = plan.first(work) - work.start
        at = torch.tensor([first + position for position in request.positions], device=hidden.device)
        if request.following:
            scores = following_logprobs(self.model, hidden[at], request.following)
        else:
            scores = self.model.head_logits(hidden[at]).tolist()
        if request.following or len(request.positions) == 1:
            self._flight.keep(request.tokens, work.start, work.row)
        if not request.future.done():
            request.future.set_result(scores)

    # ---- samples join and leave ----------------------------------------------------------------------------------

    def _join(self, plan: Plan, judged: Sequence[ScoreRequest]) -> list[Joined]:
        """Gives free rows to waiting samples; a prompt joins the pass once for all rows that share it."""
        joined: list[Joined] = []
        flying, starts = len(self._flight.slots), list[tuple[SampleRequest, int, Draft]]()
        longest = max((len(request.tokens) for request in judged), default=0)
        self._line_up()
        while self._waiting and plan.prefill < PREFILL_TOKENS:
            request = self._waiting[0]
            if request.over or not request.todo:
                self._waiting.popleft()
                continue
            first, tokens = flying + len(starts), request.todo[0][1].tokens
            longest = max(longest, len(tokens))
            free = self._flight.room(first + len(judged), longest)
            if free <= 0 or (first and not joined and free * 4 < self._flight.cache.rows):
                break
            begun = len(tokens) > len(request.prompt)
            alike = 1 if begun else sum(len(d.tokens) == len(request.prompt) for _, d in request.todo)
            rows = slice(first, first + min(free, alike))
            start = self._flight.restore(rows, tokens[:-1])
            work = Work(first, start, tuple(tokens[start:]))
            plan.add(work)
            joined.append(Joined(rows, work, tokens))
            for _ in range(first, rows.stop):
                index, draft = request.todo.popleft()
                starts.append((request, index, draft))
            shared = len(tokens) * (rows.stop - first - 1)
            self.ledger.charge(request.account, Usage(prompt=len(work.tokens), cached=start + shared))
        self._flight.start(starts)
        return joined

    def _line_up(self) -> None:
        """Of those that may join now, long prompts first: rows of like length then lie side by side."""
        count = min(len(self._waiting), self.max_batch)
        first = [self._waiting.popleft() for _ in range(count)]
        self._waiting.extendleft(sorted(first, key=lambda request: len(request.prompt)))

    def _share(self, joined: Joined) -> None:
        """Keeps an encoded prompt for later, and copies it to the other rows that continue it."""
        rows, work, tokens = joined
        block = self._flight.keep(tokens, work.start, work.row)
        if rows.stop - rows.start > 1:
            self._flight.cache.write(slice(rows.start + 1, rows.stop), work.start, [block])

    def _retire(self, ended: Sequence[int]) -> bool:
        """Takes ended rows out, closes the gaps with the last rows, and completes requests."""
        completed = False
        for row, draft in zip(ended, self._flight.rows.results(ended) if ended else [], strict=True):
            request, index = self._flight.slots[row]
            prompt, tokens = len(request.prompt), draft.tokens
            finish = self._finish(row, tokens, request)
            request.done[index] = Completion(
                tuple(tokens[prompt:]), tuple(draft.logprobs), finish, tuple(draft.values), tuple(draft.alternatives)
            )
            self.ledger.charge(request.account, Usage(generated=len(tokens) - prompt))
            if finish == "step":
                self._flight.remember(row, tokens[:-1])
            if not request.todo and len(request.done) == request.n:
                completed = True
                if not request.over:
                    request.future.set_result([c for _, c in sorted(request.done.items())])
        if ended:
            self._flight.compact(set(ended))
        return completed

    def _finish(self, row: int, tokens: Sequence[int], request: SampleRequest) -> Finish:
        if tokens[-1] == self.eos_id:
            return "answer"
        if len(tokens) >= self.model.context_length:
            return "context"  # even after a step's delimiter: no other step can follow
        if tokens[-1] in request.sampling.stop_ids or (request.sampling.stop_strings and self._stopped(row)):
            return "step"
        return "length"

    def _stopped(self, row: int) -> bool:
        """True when the text of the last tokens holds a stop string (a token adds a byte or more)."""
        assert self._decode is not None
        strings = self._flight.slots[row][0].sampling.stop_strings
        text = self._decode(self._flight.rows.tail(row, max(len(s.encode()) for s in strings) + 3))
        return any(s in text for s in strings)
