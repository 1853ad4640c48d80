"""Keys and values of the sequences in flight, one row each, within a bound of memory.

Shapes: R rows, H key-value heads, L positions, D head width, N tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

GROWTH = 64
"""Positions are allocated in multiples of this."""


class RowCache:
    """One slab [R, H, L, D] for the keys and one for the values of each layer; made on the first pass."""

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self.max_rows, self.max_bytes = max_rows, max_bytes
        self.rows, self.length = 1, GROWTH
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    @property
    def bytes_per_position(self) -> int:
        """Memory of one position of one row; 0 before the first pass."""
        return sum(x.element_size() * x.shape[1] * x.shape[3] for x in (*self.keys, *self.values))

    @property
    def bytes(self) -> int:
        """Memory allocated."""
        return self.rows * self.length * self.bytes_per_position

    def bytes_of(self, length: int) -> int:
        """Memory that one row of this many positions takes."""
        return rounded(length) * self.bytes_per_position

    def capacity(self, length: int) -> int:
        """How many rows of this many positions the bound admits."""
        return min(self.max_rows, self.max_bytes // max(1, self.bytes_of(length)))

    def resize(self, length: int, live: int) -> None:
        """Makes room for as many rows of `length` positions as the bound admits, keeping the first `live` rows."""
        length = rounded(length)
        rows = self.capacity(length)
        kept = min(length, self.length)
        for stores in (self.keys, self.values):
            for layer, old in enumerate(stores):
                new = old.new_zeros(rows, old.shape[1], length, old.shape[3])
                new[:live, :, :kept] = old[:live, :, :kept]
                stores[layer] = new
        self.rows, self.length = rows, length

    def put(self, layer: int, rows_N: Tensor, positions_N: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Stores new keys and values [N, H, D] and returns the layer's slabs."""
        while len(self.keys) <= layer:
            for stores, new in ((self.keys, key), (self.values, value)):
                stores.append(new.new_zeros(self.rows, new.shape[1], self.length, new.shape[2]))
        self.keys[layer][rows_N, :, positions_N] = key
        self.values[layer][rows_N, :, positions_N] = value
        return self.keys[layer], self.values[layer]

    def move(self, source: Tensor, target: Tensor, length: int) -> None:
        """Copies rows, as far as `length` positions."""
        for store in (*self.keys, *self.values):
            store[target, :, :length] = store[source, :, :length]

    def read(self, row: int, start: int, stop: int) -> Tensor:
        """A copy of one row's positions: [layers, 2, H, stop - start, D]."""
        pairs = zip(self.keys, self.values, strict=True)
        return torch.stack([torch.stack((k[row, :, start:stop], v[row, :, start:stop])) for k, v in pairs])

    def write(self, rows: Tensor, start: int, block: Tensor) -> None:
        """Puts a block made by `read` at `start` of each of the rows."""
        stop = start + block.shape[3]
        for layer, (k, v) in enumerate(block):
            self.keys[layer][rows, :, start:stop] = k
            self.values[layer][rows, :, start:stop] = v


def rounded(length: int) -> int:
    """The next multiple of the growth step."""
    return -(-length // GROWTH) * GROWTH
