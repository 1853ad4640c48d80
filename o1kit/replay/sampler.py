"""Batch samplers over a buffer, sized so that a Trainer draws each batch only when it needs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from o1kit.replay.buffer import Drawn, PrioritizedBuffer


class ReplayBatches(Sampler[Drawn]):
    """`num_batches` draws, each made when it is asked for: it sees the priorities written back after the last."""

    def __init__(
        self, buffer: PrioritizedBuffer[Any], batch_size: int, num_batches: int, rng: np.random.Generator, beta: float
    ) -> None:
        self.buffer, self.batch_size, self.num_batches, self.rng, self.beta = buffer, batch_size, num_batches, rng, beta

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[Drawn]:
        for _ in range(self.num_batches):
            yield self.buffer.sample(self.batch_size, self.rng, self.beta)


class OnPolicyBatches(Sampler[Drawn]):
    """`num_batches` batches that walk shuffled through the items of the latest policy, with weights of 1."""

    def __init__(self, items: list[Any], batch_size: int, num_batches: int, rng: np.random.Generator) -> None:
        self.items, self.batch_size, self.num_batches, self.rng = items, batch_size, num_batches, rng

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[Drawn]:
        order: list[int] = []
        for _ in range(self.num_batches):
            while len(order) < self.batch_size:
                order.extend(self.rng.permutation(len(self.items)).tolist())
            batch, order = order[: self.batch_size], order[self.batch_size :]
            missing = np.full(len(batch), -1, dtype=np.int64)
            yield Drawn(missing, missing, [self.items[i] for i in batch], np.ones(len(batch)))
