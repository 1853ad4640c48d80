"""A sum tree over an array: prefix sums are found and values changed in O(log n), many at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class SumTree:
    """Non-negative float64 values at the leaves of a complete binary tree; every inner node is the sum of its two."""

    def __init__(self, capacity: int) -> None:
        self.size = 1 << max(capacity - 1, 1).bit_length()
        self.depth = self.size.bit_length() - 1
        self._nodes: Floats = np.zeros(2 * self.size)

    @property
    def total(self) -> float:
        """Sum of all values."""
        return float(self._nodes[1])

    def get(self, indices: Ints) -> Floats:
        """The values at some indices."""
        return self._nodes[indices + self.size]

    def set(self, indices: Ints, values: Floats) -> None:
        """Changes values; where an index comes twice, the last one counts."""
        nodes = indices + self.size
        self._nodes[nodes] = values
        for _ in range(self.depth):
            nodes = nodes >> 1
            left = nodes << 1
            self._nodes[nodes] = self._nodes[left] + self._nodes[left + 1]

    def find(self, sums: Floats) -> Ints:
        """For each s in [0, total): the index i with sum(values[:i]) <= s < sum(values[:i + 1])."""
        nodes = np.ones(len(sums), dtype=np.int64)
        rest = sums.copy()
        for _ in range(self.depth):
            left = nodes << 1
            weight = self._nodes[left]
            right = (rest >= weight) & (self._nodes[left + 1] > 0)
            rest -= np.where(right, weight, 0.0)
            nodes = left + right
        return nodes - self.size
