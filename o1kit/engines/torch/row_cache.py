"""Keys and values of the sequences in flight, one row each, within a bound of memory.

Layers whose keys (or values) have the same shape share one slab, so that what is done to a row of all layers, such as
copying a prefix into it, is one operation. Shapes: M members of a slab (keys or values of a layer each), R rows, H
key-value heads, L positions, D head width, N tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from o1kit.engines.torch.prefix_cache import Block

GROWTH = 64
"""Positions are allocated in multiples of this."""


class RowCache:
    """Slabs [M, R, H, L, D]; `keys` and `values` are views [R, H, L, D] of them, one for each layer.

    They are made by the first pass, through which the shapes become known.
    """

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self.max_rows, self.max_bytes = max_rows, max_bytes
        self.rows, self.length = 1, GROWTH
        self.clean = True
        """Fresh memory is filled with zeros, for readers that also weigh positions that hold nothing, by 0."""
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.bytes_per_position = 0
        """Memory of one position of one row, once known."""
        self._slabs: list[Tensor] = []

    @property
    def settled(self) -> bool:
        """True once the shapes are known."""
        return bool(self._slabs)

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
        rows, kept = self.capacity(length), min(length, self.length)
        for i, old in enumerate(self._slabs):
            make = old.new_zeros if self.clean else old.new_empty
            new = make((old.shape[0], rows, old.shape[2], length, old.shape[4]))
            new[:, :live, :, :kept] = old[:, :live, :, :kept]
            self._slabs[i] = new
        self.rows, self.length = rows, length
        self._view()

    def keep_clean(self, clean: bool) -> None:
        """Whether positions that hold nothing have to hold numbers; if so from now on, what they hold is made one."""
        if clean and not self.clean:
            for slab in self._slabs:
                slab.nan_to_num_(0.0, 0.0, 0.0)
        self.clean = clean

    def put(self, layer: int, rows_N: Tensor, positions_N: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Stores new keys and values [N, H, D] and returns the layer's own."""
        while layer >= len(self.keys):
            for stores, new in ((self.keys, key), (self.values, value)):
                stores.append(new.new_zeros(self.rows, new.shape[1], self.length, new.shape[2]))
                self.bytes_per_position += new.element_size() * new.shape[1] * new.shape[2]
        keys, values = self.keys[layer], self.values[layer]
        keys[rows_N, :, positions_N] = key
        values[rows_N, :, positions_N] = value
        return keys, values

    def settle(self) -> None:
        """Puts the layers' stores, which the first pass made one by one, into slabs."""
        groups: dict[torch.Size, list[Tensor]] = {}
        for store in (*self.keys, *self.values):
            groups.setdefault(store.shape, []).append(store)
        self._slabs = [torch.stack(members) for members in groups.values()]
        self._view()

    def _view(self) -> None:
        """Points each layer at its members of the slabs, in the order in which `settle` took them."""
        free = {(slab.shape[2], slab.shape[4]): iter(slab) for slab in self._slabs}
        for stores in (self.keys, self.values):
            stores[:] = [next(free[store.shape[1], store.shape[3]]) for store in stores]

    def move(self, source: Tensor, target: Tensor, length: int) -> None:
        """Copies rows, as far as `length` positions."""
        for slab in self._slabs:
            slab[:, target, :, :length] = slab[:, source, :, :length]

    def read(self, row: int, start: int, stop: int) -> Block:
        """What a row holds of these positions: views [M, H, stop - start, D] that the next pass may overwrite."""
        return tuple(slab[:, row, :, start:stop] for slab in self._slabs)

    def write(self, rows: slice, start: int, blocks: Sequence[Block]) -> None:
        """Puts blocks made by `read` one behind the other, the first at `start`, into each of the rows."""
        for block in blocks:
            stop = start + block[0].shape[2]
            for slab, part in zip(self._slabs, block, strict=True):
                slab[:, rows, :, start:stop] = part[:, None]
            start = stop


def rounded(length: int) -> int:
    """The next multiple of the growth step."""
    return -(-length // GROWTH) * GROWTH
