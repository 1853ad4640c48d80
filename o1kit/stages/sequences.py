"""Token sequences of training stages: what a row is, how rows become batches, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

BUCKET = 50
"""Batches whose rows are sorted by length together before they are shuffled."""


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
        number = 0
        for epoch in range(self.num_batches):
            for batch in self._epoch(epoch):
                if number >= self.num_batches:
                    return
                if number >= self.start:
                    yield batch
                number += 1

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
