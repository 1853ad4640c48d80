"""`Flight`: the sequences in flight, their rows, and what is kept of those that left."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from o1kit.engines.torch.prefix_cache import Block, PrefixCache
from o1kit.engines.torch.requests import SampleRequest
from o1kit.engines.torch.row_cache import RowCache
from o1kit.engines.torch.rows import Draft, Rows, Start


class Flight:
    """Sequence i is `slots[i]` (a request and the index of its sample), row i of `rows` and row i of `cache`.

    Rows behind the last sequence are free; `room` says how many there may be.
    """

    def __init__(self, max_rows: int, max_bytes: int, device: torch.device, compiled: bool) -> None:
        """`max_bytes` bounds the rows' keys and values, and once more those of the prefixes."""
        self.device = device
        self.prefixes = PrefixCache(max_bytes)
        self.cache = RowCache(max_rows, max_bytes)
        self.rows = Rows(max_rows, device, compiled)
        self.slots: list[tuple[SampleRequest, int]] = []

    @property
    def bytes(self) -> int:
        """Memory that keys and values take."""
        return self.cache.bytes + self.prefixes.bytes

    def lengths(self) -> list[int]:
        """Tokens of each sequence."""
        return self.rows.lengths(len(self.slots))

    def start(self, samples: Sequence[tuple[SampleRequest, int, Draft]]) -> None:
        """Puts samples of requests, by index, into the rows behind those in flight."""
        starts = [Start(draft, len(r.prompt), r.limit, r.sampling, index) for r, index, draft in samples]
        self.rows.start(len(self.slots), starts)
        self.slots += [(request, index) for request, index, _ in samples]

    # ---- room ----------------------------------------------------------------------------------------------------

    def room(self, used: int, length: int) -> int:
        """Free rows for sequences of this length after the `used` first ones; the slabs are resized for them."""
        needed = max([length, *self.lengths()])
        if self.cache.capacity(needed) <= used:
            return 0
        if needed > self.cache.length or used >= self.cache.rows:
            self.cache.resize(needed, used)
        return self.cache.rows - used

    def make_room(self) -> list[SampleRequest]:
        """Lets the slabs grow for the next token of each row.

        Rows that do not fit any more leave with what they have; returned are their requests, the last to leave last.
        """
        lengths = self.lengths()
        longest = max(lengths, default=0)
        if longest <= self.cache.length:
            return []
        keep = min(len(lengths), self.cache.capacity(longest))
        leaving: list[SampleRequest] = []
        gone = list(reversed(range(keep, len(lengths))))
        for row, draft in zip(gone, self.rows.results(gone), strict=True):
            request, index = self.slots[row]
            self.remember(row, draft.tokens[:-1])
            request.todo.appendleft((index, draft))
            if request not in leaving:
                leaving.append(request)
        del self.slots[keep:]
        ample = longest + longest // 2
        self.cache.resize(ample if self.cache.capacity(ample) >= keep else longest, keep)
        return leaving

    def drop_abandoned(self) -> None:
        """Frees the rows of requests that nobody waits for any more."""
        gone = {row for row, (request, _) in enumerate(self.slots) if request.over}
        if gone:
            self.compact(gone)

    def compact(self, ended: set[int]) -> None:
        """Takes rows out and closes the gaps with the last ones."""
        kept = [row for row in range(len(self.slots)) if row not in ended]
        holes = [row for row in sorted(ended) if row < len(kept)]
        movers = [row for row in kept if row >= len(kept)]
        lengths = self.lengths()
        for hole, mover in zip(holes, movers, strict=True):
            self.slots[hole] = self.slots[mover]
        del self.slots[len(kept) :]
        if movers:
            index = torch.tensor([movers, holes], device=self.device)
            self.cache.move(index[0], index[1], min(max(lengths[row] for row in movers), self.cache.length))
            self.rows.move(movers, holes)

    # ---- prefixes ------------------------------------------------------------------------------------------------

    def keep(self, tokens: Sequence[int], start: int, row: int) -> Block:
        """Stores a row's tokens as a prefix whose first `start` are stored already; returns the block of the others."""
        block = self.cache.read(row, start, len(tokens))
        self.prefixes.insert(tokens, start, block)
        return block

    def remember(self, row: int, tokens: Sequence[int]) -> None:
        """Keeps what a row holds of these tokens for whoever continues them."""
        start, _ = self.prefixes.match(tokens)
        if start < len(tokens):
            self.keep(tokens, start, row)

    def restore(self, rows: slice, tokens: Sequence[int]) -> int:
        """Copies the longest cached prefix into the rows and returns its length."""
        length, blocks = self.prefixes.match(tokens)
        self.cache.write(rows, 0, blocks)
        return length
