"""Token sequences of training stages: what a row is, how rows become batches, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

BUCKET = 50
"""Batches whose rows are sorted by length together before they are shuffled."""
HELD_OUT = 10
"""One problem in this many is kept out of training, to measure the model on."""


class Row(NamedTuple):
    """One sequence: its token ids and how many of them are the prompt."""

    token_ids: list[int]
    prompt_length: int


def pad(rows: Sequence[Sequence[int]], value: int = 0) -> Tensor:
    """Right-padded [B, T] tensor of token ids."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def pad_floats(rows: Sequence[Sequence[float]], width: int) -> Tensor:
    """Right-padded float32 [B, width] tensor."""
    return torch.tensor([[*row, *[0.0] * (width - len(row))] for row in rows], dtype=torch.float32)


def held_out(problems: Sequence[str], one_in: int) -> list[bool]:
    """Whether each item is kept out of training: those of every `one_in`-th problem, from the first on."""
    number = {name: i for i, name in enumerate(dict.fromkeys(problems))}
    return [number[name] % one_in == 0 for name in problems]


class LengthBucketedBatches(Sampler[list[int]]):
    """A fixed number of batches of rows of like length; batch number i is a function of the seed alone.

    `start` is the number of the first batch to give: a continued run sets it, so no row is seen twice. The length
    stays that of the whole: Lightning goes on counting at the batch where the run stopped.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, num_batches: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size, self.num_batches, self.seed = batch_size, num_batches, seed
        self.start = 0

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        return numbered(self._epoch, self.start, self.num_batches)

    def _epoch(self, epoch: int) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.lengths))
        span = self.batch_size * BUCKET
        for begin in range(0, len(order), span):
            group = order[begin : begin + span]
            group = group[np.argsort(self.lengths[group], kind="stable")]
            batches = [group[i : i + self.batch_size].tolist() for i in range(0, len(group), self.batch_size)]
            for i in rng.permutation(len(batches)):
                yield batches[i]


class GroupedBatches(Sampler[list[int]]):
    """A fixed number of batches that hold groups of rows whole; batch number i is a function of the seed alone.

    A batch has at most `batch_size` rows, often fewer, since the next group did not fit; only a group that is larger
    by itself is cut into several batches. Groups of like length meet, as rows do in `LengthBucketedBatches`.
    """

    def __init__(
        self, groups: Sequence[int], lengths: Sequence[int], batch_size: int, num_batches: int, seed: int
    ) -> None:
        self.batch_size, self.num_batches, self.seed = batch_size, num_batches, seed
        self.start = 0
        rows: dict[int, list[int]] = {}
        for row, group in enumerate(groups):
            rows.setdefault(group, []).append(row)
        self._rows = list(rows.values())
        self._lengths = np.asarray([sum(lengths[i] for i in own) / len(own) for own in self._rows])

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        return numbered(self._epoch, self.start, self.num_batches)

    def _epoch(self, epoch: int) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self._rows))
        total = sum(map(len, self._rows))
        span = max(1, self.batch_size * BUCKET * len(order) // max(total, 1))
        for begin in range(0, len(order), span):
            part = order[begin : begin + span]
            part = part[np.argsort(self._lengths[part], kind="stable")]
            batches = list(self._packed([rng.permutation(self._rows[g]).tolist() for g in part]))
            for i in rng.permutation(len(batches)):
                yield batches[i]

    def _packed(self, groups: Sequence[list[int]]) -> Iterator[list[int]]:
        batch: list[int] = []
        for group in groups:
            pieces = [group[i : i + self.batch_size] for i in range(0, len(group), self.batch_size)]
            for piece in pieces:
                if batch and len(batch) + len(piece) > self.batch_size:
                    yield batch
                    batch = []
                batch = [*batch, *piece]
        if batch:
            yield batch


def numbered(epoch: Callable[[int], Iterator[list[int]]], start: int, stop: int) -> Iterator[list[int]]:
    """Batches number `start` to `stop` of one epoch after another."""
    number = 0
    for n in range(stop):
        for batch in epoch(n):
            if number >= stop:
                return
            if number >= start:
                yield batch
            number += 1
