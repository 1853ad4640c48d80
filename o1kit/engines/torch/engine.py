"""`TorchEngine`: samples and scores with a model in this process, many sequences at a time.

Sequences join and leave between tokens. A request is queued by `sample` or `score`; the engine runs once every
coroutine that could still add a request has had its turn, so no timer decides what is batched together.

Legend: n rows in flight, S new tokens, L positions read, V vocabulary.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from o1kit.engines.torch.prefix_cache import PrefixCache
from o1kit.engines.torch.row_cache import RowCache
from o1kit.engines.torch.rows import Rows
from o1kit.errors import DataError
from o1kit.functional.noise import derive
from o1kit.models.language_model import LanguageModel
from o1kit.protocols import Sampling
from o1kit.types import Completion, Finish, Usage

QUIET_TICKS = 3
"""Turns of the event loop without a new request before the engine runs."""
PREFILL_TOKENS = 8192
"""Most tokens encoded in one forward pass."""


@dataclass(eq=False, slots=True)
class _Sample:
    prompt: tuple[int, ...]
    n: int
    sampling: Sampling
    future: asyncio.Future[list[Completion]]
    started: int = 0
    done: dict[int, Completion] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class _Score:
    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    future: asyncio.Future[list[float]]


class TorchEngine:
    """An engine over one `LanguageModel`. Call `refresh` after the weights changed."""

    def __init__(self, model: LanguageModel, eos_id: int, max_batch: int = 256, cache_mb: int = 512) -> None:
        self.model = model
        self.eos_id = eos_id
        self.max_batch = max_batch
        self.usage = Usage()
        self._prefixes = PrefixCache(cache_mb * 2**20)
        self._cache = RowCache(max_batch)
        self._rows = Rows(max_batch, model.device)
        self._slots: list[tuple[_Sample, int]] = []
        self._waiting: deque[_Sample] = deque()
        self._scores: deque[_Score] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._arrivals = 0

    def refresh(self) -> None:
        """Forgets cached prefixes: they belong to the old weights."""
        self._prefixes.clear()

    async def sample(self, prompt: Sequence[int], n: int, sampling: Sampling) -> list[Completion]:
        """`n` continuations of `prompt`, each a function of (weights, prompt, sampling.key, its index) only.

        Raises:
            DataError: the prompt is empty or leaves no room in the model's context.
        """
        self._check(len(prompt) + 1)
        sampling = replace(sampling, stop_ids=sampling.stop_ids | {self.eos_id})
        request = _Sample(tuple(prompt), n, sampling, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._wake()
        return await request.future

    async def score(self, tokens: Sequence[int], positions: Sequence[int]) -> list[float]:
        """The scalar head's raw output at each position (an index into `tokens`).

        Raises:
            DataError: the sequence is empty or longer than the model's context.
        """
        self._check(len(tokens))
        request = _Score(tuple(tokens), tuple(positions), asyncio.get_running_loop().create_future())
        self._scores.append(request)
        self._wake()
        return await request.future

    def _check(self, length: int) -> None:
        if length > self.model.context_length:
            raise DataError(
                f"a sequence of {length} tokens does not fit the model's context of {self.model.context_length}. "
                "Use shorter problems or a model with a longer context."
            )
        if length < 2:
            raise DataError("an empty prompt cannot be continued.")

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
            while self._waiting or self._scores or self._slots:
                with torch.inference_mode():
                    freed = self._step()
                if freed:
                    await self._settle()
        except Exception as error:
            self._fail(error)
        finally:
            self.model.train(was_training)

    def _fail(self, error: Exception) -> None:
        """Hands the error to every waiter and starts afresh."""
        requests = [*self._waiting, *(request for request, _ in self._slots)]
        futures: list[asyncio.Future[Any]] = [r.future for r in requests]
        futures.extend(r.future for r in self._scores)
        for future in futures:
            if not future.done():
                future.set_exception(error)
        self._waiting.clear()
        self._scores.clear()
        self._slots.clear()
        self.refresh()

    def _step(self) -> bool:
        """Scores what waits, lets sequences join, decodes one token; True when a request was completed."""
        scored = bool(self._scores)
        while self._scores:
            self._score_batch()
        free = self.max_batch - len(self._slots)
        if self._waiting and (not self._slots or free * 4 >= self.max_batch):
            self._admit(free)
        return (bool(self._slots) and self._decode()) or scored

    # ---- joining -------------------------------------------------------------------------------------------------

    def _admit(self, free: int) -> None:
        """Gives free rows to waiting samples and encodes what of their prompts is not cached."""
        joined: list[tuple[list[int], tuple[int, ...]]] = []
        while free and self._waiting:
            request = self._waiting[0]
            if request.future.cancelled():
                self._waiting.popleft()
                continue
            count = min(free, request.n - request.started)
            rows = list(range(len(self._slots), len(self._slots) + count))
            for row in rows:
                self._slots.append((request, request.started))
                self._rows.start(row, request.prompt, self._limit(request), request.sampling, request.started)
                request.started += 1
            joined.append((rows, request.prompt))
            free -= count
            if request.started == request.n:
                self._waiting.popleft()
        self._prefill(joined)

    def _limit(self, request: _Sample) -> int:
        return min(len(request.prompt) + request.sampling.max_tokens, self.model.context_length)

    def _prefill(self, joined: Sequence[tuple[list[int], tuple[int, ...]]]) -> None:
        """Fills the cache for all but the last token of each prompt, once for rows that share it."""
        todo: list[tuple[int, list[int], tuple[int, ...]]] = []
        for rows, prompt in joined:
            length = self._restore(rows, prompt[:-1])
            self.usage += Usage(prompt=len(prompt) - length, cached=length + len(prompt) * (len(rows) - 1))
            if length < len(prompt) - 1:
                todo.append((length, rows, prompt))
        todo.sort(key=lambda item: len(item[2]) - item[0])
        for chunk in _chunks([(start, rows[0], prompt[:-1]) for start, rows, prompt in todo], PREFILL_TOKENS):
            self._encode(chunk)
        for start, rows, prompt in todo:
            block = self._cache.read(rows[0], start, len(prompt) - 1)
            self._prefixes.insert(prompt[:-1], start, block)
            if len(rows) > 1:
                self._cache.write(torch.tensor(rows[1:], device=self.model.device), start, block)

    def _restore(self, rows: Sequence[int], tokens: tuple[int, ...]) -> int:
        """Copies the longest cached prefix into the rows and returns its length."""
        length, blocks = self._prefixes.match(tokens)
        if length:
            index = torch.tensor(rows, device=self.model.device)
            self._cache.write(index, 0, torch.cat(blocks, dim=3) if len(blocks) > 1 else blocks[0])
        return length

    def _encode(self, chunk: Sequence[tuple[int, int, tuple[int, ...]]]) -> Tensor:
        """Hidden states [rows, S, hidden] of the tokens from `start` on, for (start, row, tokens) triples."""
        device = self.model.device
        width = max(len(tokens) - start for start, _, tokens in chunk)
        padded = [list(tokens[start:]) + [0] * (width - len(tokens) + start) for start, _, tokens in chunk]
        starts = torch.tensor([start for start, _, _ in chunk], device=device)
        positions_nS = starts[:, None] + torch.arange(width, device=device)
        length = int(positions_nS.max()) + 1
        self._cache.select(torch.tensor([row for _, row, _ in chunk], device=device), positions_nS, length)
        return self._forward(torch.tensor(padded, device=device), positions_nS, length)

    def _forward(self, token_ids_nS: Tensor, positions_nS: Tensor, length: int) -> Tensor:
        visible = torch.arange(length, device=token_ids_nS.device) <= positions_nS[:, None, :, None]
        return self.model.hidden(
            token_ids_nS,
            position_ids=positions_nS,
            attention_mask=visible,
            past_key_values=self._cache,
            use_cache=True,
        )

    # ---- decoding ------------------------------------------------------------------------------------------------

    def _decode(self) -> bool:
        """Samples one token for every sequence in flight; True when one of them ended its request."""
        n = len(self._slots)
        tokens_n, positions_n = self._rows.last(n)
        length = self._rows.longest(n)
        self._cache.select(slice(0, n), positions_n[:, None], length)
        hidden = self._forward(tokens_n[:, None], positions_n[:, None], length)[:, 0]
        values = self.model.head_logits(hidden) if self.model.head is not None else None
        ended = self._rows.append(n, self.model.logits(hidden), values)
        return bool(ended) and self._retire(ended)

    def _retire(self, ended: Sequence[int]) -> bool:
        """Takes ended rows out, closes the gaps with the last rows, and completes requests."""
        completed = False
        for row in ended:
            request, index = self._slots[row]
            tokens, logprobs, values = self._rows.result(row)
            prompt = len(request.prompt)
            finish = self._finish(tokens, request)
            request.done[index] = Completion(tuple(tokens[prompt:]), tuple(logprobs), finish, tuple(values))
            self.usage += Usage(generated=len(tokens) - prompt)
            if finish == "step":
                start, _ = self._prefixes.match(tokens[:-1])
                if start < len(tokens) - 1:
                    self._prefixes.insert(tokens[:-1], start, self._cache.read(row, start, len(tokens) - 1))
            if len(request.done) == request.n:
                completed = True
                if not request.future.done():
                    request.future.set_result([request.done[i] for i in range(request.n)])
        self._compact(set(ended))
        return completed

    def _finish(self, tokens: Sequence[int], request: _Sample) -> Finish:
        if tokens[-1] == self.eos_id:
            return "answer"
        if tokens[-1] in request.sampling.stop_ids:
            return "step"
        return "length" if len(tokens) < self.model.context_length else "context"

    def _compact(self, ended: set[int]) -> None:
        kept = [row for row in range(len(self._slots)) if row not in ended]
        holes = [row for row in sorted(ended) if row < len(kept)]
        movers = [row for row in kept if row >= len(kept)]
        for hole, mover in zip(holes, movers, strict=True):
            self._slots[hole] = self._slots[mover]
        del self._slots[len(kept) :]
        if movers:
            source = torch.tensor(movers, device=self.model.device)
            target = torch.tensor(holes, device=self.model.device)
            self._cache.move(source, target, max(self._rows.length(row) for row in movers))
            self._rows.move(movers, holes)

    # ---- scoring -------------------------------------------------------------------------------------------------

    def _score_batch(self) -> None:
        """Encodes waiting sequences in rows that no sample uses, and reads the head."""
        free = list(range(len(self._slots), self.max_batch))
        if not free:
            return self._score_later()
        batch = [self._scores.popleft() for _ in range(min(len(free), len(self._scores)))]
        chunk: list[tuple[int, int, tuple[int, ...]]] = []
        for request, row in zip(batch, free, strict=False):
            start = self._restore([row], request.tokens[: min(request.positions)])
            self.usage += Usage(scored=len(request.tokens) - start, cached=start)
            chunk.append((start, row, request.tokens))
        order = sorted(range(len(batch)), key=lambda i: len(chunk[i][2]) - chunk[i][0])
        sizes = _chunks([(*chunk[i], i) for i in order], PREFILL_TOKENS)
        for part in sizes:
            hidden = self._encode([(start, row, tokens) for start, row, tokens, _ in part])
            scores = self.model.head_logits(hidden).cpu()
            for line, (start, row, tokens, i) in enumerate(part):
                if len(batch[i].positions) == 1:  # a leaf of a tree, likely to be continued; finished chains are not
                    self._prefixes.insert(tokens, start, self._cache.read(row, start, len(tokens)))
                if not batch[i].future.done():
                    batch[i].future.set_result([float(scores[line, p - start]) for p in batch[i].positions])

    def _score_later(self) -> None:
        """Decodes until a row is free."""
        while len(self._slots) == self.max_batch:
            self._decode()


_Item = TypeVar("_Item", bound=tuple[Any, ...])


def _chunks(items: Sequence[_Item], max_tokens: int) -> list[list[_Item]]:
    """Splits (start, row, tokens, ...) tuples, sorted by length, so that each padded part holds few enough tokens."""
    parts: list[list[_Item]] = []
    for item in items:
        width = len(item[2]) - item[0]
        if parts and width * (len(parts[-1]) + 1) <= max_tokens:
            parts[-1].append(item)
        else:
            parts.append([item])
    return parts


def sample_key(seed: int, *path: int) -> int:
    """The key of a request: a function of the seed and of where in the search it stands."""
    return derive(seed, *path)
