"""Keys and values of the sequences in flight, one row each, in the form that transformers' attention calls.

Shapes: R rows, H key-value heads, T positions, D head width, S new tokens, n rows of this pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

GROWTH = 64
"""Positions are allocated in multiples of this."""


class RowCache:
    """A preallocated cache whose rows are addressed by number; `select` says what the next forward pass touches."""

    is_compileable = False

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self._rows: slice | Tensor = slice(0, 0)
        self._index: Tensor = torch.empty(0, dtype=torch.long)
        self._positions: Tensor = torch.empty(0, dtype=torch.long)
        self._length = 0

    def select(self, rows: slice | Tensor, positions_nS: Tensor, length: int) -> None:
        """The next pass writes `positions_nS` of these rows and reads positions below `length`."""
        self._rows, self._length = rows, length
        device = positions_nS.device
        index = torch.arange(rows.start, rows.stop, device=device) if isinstance(rows, slice) else rows
        self._index, self._positions = index[:, None].expand_as(positions_nS), positions_nS
        for layer in range(len(self.keys)):
            self.keys[layer] = self._grown(self.keys[layer], length)
            self.values[layer] = self._grown(self.values[layer], length)

    def update(self, key_nHSD: Tensor, value_nHSD: Tensor, layer: int, *_: object) -> tuple[Tensor, Tensor]:
        """Stores the new keys and values and returns all that the selected rows may attend to."""
        while len(self.keys) <= layer:
            shape = (self.num_rows, key_nHSD.shape[1], 0, key_nHSD.shape[3])
            self.keys.append(self._grown(key_nHSD.new_zeros(shape), self._length))
            self.values.append(self._grown(value_nHSD.new_zeros(shape), self._length))
        for store, new in ((self.keys[layer], key_nHSD), (self.values[layer], value_nHSD)):
            store[self._index, :, self._positions] = new.transpose(1, 2)
        return self.keys[layer][self._rows, :, : self._length], self.values[layer][self._rows, :, : self._length]

    def get_seq_length(self, layer: int = 0) -> int:
        """Length transformers would assume; positions are always given explicitly, so it is not used."""
        return 0

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
            self.keys[layer] = self._grown(self.keys[layer], stop)
            self.values[layer] = self._grown(self.values[layer], stop)
            self.keys[layer][rows, :, start:stop] = k
            self.values[layer][rows, :, start:stop] = v

    @staticmethod
    def _grown(store: Tensor, length: int) -> Tensor:
        if store.shape[2] >= length:
            return store
        size = max(-(-length // GROWTH) * GROWTH, store.shape[2] * 3 // 2)
        grown = store.new_zeros((store.shape[0], store.shape[1], size, store.shape[3]))
        grown[:, :, : store.shape[2]] = store
        return grown
