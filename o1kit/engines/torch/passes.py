"""`Plan`: what one forward pass computes, put together from single pieces of work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from o1kit.engines.torch.attention import Pass, Segment
from o1kit.engines.torch.row_cache import RowCache

BLOCKS = 4
"""Decoding rows are read in up to so many blocks, each as far as its own longest row..."""
SAVING = 0.2
"""...when that saves at least this share of the positions read."""

RAGGED_COST, RAGGED_FREE = 2, 2**17
"""Works of unlike shape are read together when that takes at most so many times the products of queries and keys that
are needed, or so few in all that calling an operation costs more."""


@dataclass(eq=False, slots=True)
class Work:
    """New tokens of one sequence, from position `start` on, in a row of the cache."""

    row: int
    start: int
    tokens: tuple[int, ...]


class Plan:
    """One token for each row in flight, then the tokens of other sequences, those of like shape side by side."""

    def __init__(self) -> None:
        self.prefill = 0
        self._decode: tuple[Tensor, Tensor, list[int]] | None = None
        self._works: dict[tuple[int, int], list[Work]] = defaultdict(list)
        self._first: dict[Work, int] = {}

    def __bool__(self) -> bool:
        return self._decode is not None or self.prefill > 0

    def decode(self, tokens_n: Tensor, positions_n: Tensor, lengths: list[int]) -> None:
        """One token in each of the rows 0 to n; `lengths` of the rows include it."""
        self._decode = tokens_n, positions_n, lengths

    def add(self, work: Work) -> None:
        """Tokens of one more sequence."""
        self._works[work.start, len(work.tokens)].append(work)
        self.prefill += len(work.tokens)

    def first(self, work: Work) -> int:
        """Index of a work's first token in the pass, once built."""
        return self._first[work]

    def last(self, work: Work) -> int:
        """Index of its last token."""
        return self._first[work] + len(work.tokens) - 1

    def _groups(self) -> list[list[Work]]:
        """Works that are read together: those of like shape, or all that continue something if padding is cheap."""
        alike = list(self._works.values())
        going_on = [work for works in alike for work in works if work.start]
        fresh = [works for works in alike if not works[0].start]
        if sum(works[0].start > 0 for works in alike) < 2:
            return alike
        needed = sum(len(w.tokens) * (w.start + len(w.tokens)) for w in going_on)
        size, length = max(len(w.tokens) for w in going_on), max(w.start + len(w.tokens) for w in going_on)
        padded = len(going_on) * size * length
        return [*fresh, going_on] if padded < RAGGED_COST * needed + RAGGED_FREE else alike

    def build(self, cache: RowCache, device: torch.device, segmented: bool = True) -> tuple[Tensor, Pass]:
        """Token ids [N] and what attention must know of them: segments too, unless it goes token by token."""
        tokens: list[int] = []
        rows: list[int] = []
        positions: list[int] = []
        segments: list[Segment] = []
        at = 0
        if self._decode is not None:
            at = len(self._decode[2])
            if segmented:
                segments += [Segment(a, b - a, 1, slice(a, b), length) for a, b, length in blocks(self._decode[2])]
        for works in self._groups() if segmented else self._works.values():
            if segmented:
                segments.append(segment(works, at, device))
            for work in works:
                size = len(work.tokens)
                self._first[work] = at
                tokens += work.tokens
                rows += [work.row] * size
                positions += range(work.start, work.start + size)
                at += size
        parts = [torch.tensor(x, dtype=torch.long, device=device) for x in (tokens, rows, positions)]
        if self._decode is not None:
            flying = torch.arange(len(self._decode[2]), device=device)
            before = (self._decode[0], flying, self._decode[1])
            parts = [torch.cat(pair) for pair in zip(before, parts, strict=True)] if tokens else list(before)
        return parts[0], Pass(cache, parts[1], parts[2], segments)


def segment(works: Sequence[Work], at: int, device: torch.device) -> Segment:
    """How attention reads works that lie one behind the other from `at` on."""
    sizes, length = [len(work.tokens) for work in works], max(work.start + len(work.tokens) for work in works)
    first, count, size = works[0].row, len(works), max(sizes)
    rows: slice | Tensor = slice(first, first + count)
    if any(work.row != first + i for i, work in enumerate(works)):
        rows = torch.tensor([work.row for work in works], device=device)
    if all((work.start, len(work.tokens)) == (works[0].start, size) for work in works):
        return Segment(at, count, size, rows, length, works[0].start)
    padded, real, begin = list[list[int]](), list[int](), at
    for i, own in enumerate(sizes):
        padded.append([begin + min(j, own - 1) for j in range(size)])
        real += range(i * size, i * size + own)
        begin += own
    index = torch.tensor(padded, device=device), torch.tensor(real, device=device)
    return Segment(at, count, size, rows, length, None, *index)


def blocks(lengths: Sequence[int]) -> list[tuple[int, int, int]]:
    """(first row, row after the last, longest row) of the blocks to read rows of these lengths in."""
    n, longest = len(lengths), max(lengths)
    size = -(-n // BLOCKS)
    parts = [(a, min(a + size, n), max(lengths[a : a + size])) for a in range(0, n, size)]
    saved = n * longest - sum((b - a) * most for a, b, most in parts)
    return parts if saved > SAVING * n * longest else [(0, n, longest)]
