"""Attention over rows of keys and values, for a pass whose tokens lie one behind the other without padding.

Registered with transformers as an attention implementation, so every model whose layers call that interface runs on it:
the layer brings queries, keys and values, its scaling, its sliding window and its soft cap; the pass in progress says
which sequence each token belongs to. Legend: N tokens of the pass, H key-value heads, G query heads for each of them,
n rows, S new tokens of a row, L positions read, D head width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from o1kit.engines.torch.row_cache import RowCache

NAME = "o1kit_rows"
"""Name of the attention implementation. transformers makes no masks for a name it does not know."""
UNSUPPORTED = ("s_aux", "position_bias")
"""Arguments of layers that change attention in ways that are not implemented here."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring rows of one kind of work: `count` rows with `size` new tokens each, from `first` in the pass.

    `rows` are their numbers in the cache (a slice where they are neighbours there too); `start` is the position of the
    first new token, the same in all rows, or None when each row has its own. In a ragged segment rows have up to `size`
    new tokens: `padded` [count, size] says where in the pass each is (padding repeats the last), `real` where in the
    padded order those of the pass are.
    """

    first: int
    count: int
    size: int
    rows: slice | Tensor
    length: int
    start: int | None = None
    padded: Tensor | None = None
    real: Tensor | None = None

    def queries(self, x: Tensor) -> Tensor:
        """The segment's part of the pass: [count, size, ...] from [N, ...]."""
        if self.padded is not None:
            return x[self.padded]
        return x[self.first : self.first + self.count * self.size].view(self.count, self.size, *x.shape[1:])


@dataclass(slots=True)
class Pass:
    """What attention must know of the tokens in one forward pass."""

    cache: RowCache
    rows_N: Tensor
    positions_N: Tensor
    segments: list[Segment]
    masks: dict[tuple[int, int | None], Tensor | None] = field(default_factory=dict)
    biases: dict[tuple[int, int | None], Tensor] = field(default_factory=dict)

    def mask(self, number: int, window: int | None) -> Tensor | None:
        """Which positions the new tokens of a segment may read: [n or 1, 1, S, L], or None for plain causal order."""
        key = (number, window)
        if key not in self.masks:
            self.masks[key] = self._mask(self.segments[number], window)
        return self.masks[key]

    def bias(self, number: int, window: int | None) -> Tensor:
        """The same as numbers to add to the scores of one new token in each row: [n, 1, 1, L], 0 or minus infinity."""
        key = (number, window)
        if key not in self.biases:
            mask = self._mask(self.segments[number], window)
            assert mask is not None
            self.biases[key] = torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, float("-inf"))
        return self.biases[key]

    def _mask(self, segment: Segment, window: int | None) -> Tensor | None:
        if segment.start == 0 and (window is None or segment.size <= window):
            return None
        at = segment.queries(self.positions_N)[: 1 if segment.start is not None else None, None, :, None]
        read = torch.arange(segment.length, device=at.device)
        return (read <= at) & (read > at - window) if window is not None else read <= at


_CURRENT: ContextVar[Pass] = ContextVar("o1kit_pass")


@contextmanager
def running(current: Pass, config: Any = None) -> Iterator[None]:
    """`rows_attention` works on this pass, and so do forward passes of the model with this configuration."""
    before, token = getattr(config, "_attn_implementation", None), _CURRENT.set(current)
    if config is not None:
        config._attn_implementation = NAME
    try:
        yield
    finally:
        _CURRENT.reset(token)
        if config is not None:
            config._attn_implementation = before


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: queries, keys and values [1, heads, N, D] -> outputs [1, N, heads, D]."""
    for name in UNSUPPORTED:
        if options.get(name) is not None:
            raise NotImplementedError(f"attention with {name!r} is not supported by the torch engine")
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    window, softcap = options.get("sliding_window"), options.get("softcap")
    return rows_attention(module.layer_idx, q, k, v, scaling, window, softcap)[None], None


def rows_attention(
    layer: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float | None = None,
    window: int | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Stores keys and values [N, heads, D] of the pass that is running and returns the outputs [N, heads, D]."""
    current = _CURRENT.get()
    keys, values = current.cache.put(layer, current.rows_N, current.positions_N, key, value)
    heads, width = key.shape[1:]
    parts: list[Tensor] = []
    for number, part in enumerate(current.segments):
        q = part.queries(query).view(part.count, part.size, heads, -1, width).permute(0, 2, 3, 1, 4)
        if part.start == 0:
            k, v = (part.queries(x).transpose(1, 2) for x in (key, value))
        else:
            k, v = keys[part.rows, :, : part.length], values[part.rows, :, : part.length]
        single = part.start is None and part.size == 1 and softcap is None
        if single and q.dtype == torch.float32 and q.device.type == "cpu":
            o = _read(q, k, v, current.bias(number, window), scaling)
        else:
            o = _attention(q, k, v, current.mask(number, window), scaling, softcap)
        o = o.permute(0, 3, 1, 2, 4).reshape(part.count * part.size, -1, value.shape[2])
        parts.append(o if part.real is None else o[part.real])
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attention(
    q_nHGSD: Tensor, k_nHLD: Tensor, v_nHLD: Tensor, mask: Tensor | None, scaling: float | None, softcap: float | None
) -> Tensor:
    """Outputs [n, H, G, S, D]; query heads that share keys are folded into the positions, so keys are not repeated."""
    n, heads, group, size, width = q_nHGSD.shape
    if softcap is not None:
        return _capped(q_nHGSD, k_nHLD, v_nHLD, mask, scaling or width**-0.5, softcap)
    if mask is None and group > 1:
        q = q_nHGSD.flatten(1, 2)
        k, v = (x[:, :, None].expand(-1, -1, group, -1, -1).flatten(1, 2) for x in (k_nHLD, v_nHLD))
        o = scaled_dot_product_attention(q, k, v, is_causal=size > 1, scale=scaling)
        return o.view(n, heads, group, size, -1)
    if mask is not None and size > 1 and group > 1:
        mask = mask.repeat(1, 1, group, 1)
    q = q_nHGSD.flatten(2, 3)
    causal = mask is None and size > 1
    o = scaled_dot_product_attention(q, k_nHLD, v_nHLD, attn_mask=mask, is_causal=causal, scale=scaling)
    return o.view(n, heads, group, size, -1)


def _read(q_nHGSD: Tensor, k_nHLD: Tensor, v_nHLD: Tensor, bias: Tensor, scaling: float | None) -> Tensor:
    """Outputs [n, H, G, 1, D] of one new token in each row.

    Two batched products: on CPU up to 2.5 times as fast as the fused kernel, which is made for many queries.
    """
    scores = torch.matmul(q_nHGSD[:, :, :, 0], k_nHLD.transpose(-1, -2))
    scores = scores.mul_(q_nHGSD.shape[-1] ** -0.5 if scaling is None else scaling).add_(bias)
    return torch.matmul(torch.softmax(scores, dim=-1), v_nHLD).unsqueeze(3)


def _capped(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scaling: float, softcap: float) -> Tensor:
    """Attention whose scores go through `softcap * tanh(score / softcap)` (Gemma 2)."""
    size, length = q.shape[3], k.shape[2]
    if mask is None:
        mask = torch.ones(size, length, dtype=torch.bool, device=q.device).tril(length - size)
    scores = torch.einsum("nhgsd,nhld->nhgsl", q, k) * scaling
    scores = torch.tanh(scores / softcap) * softcap
    scores = scores.masked_fill(~(mask[:, :, None] if mask.dim() == 4 else mask), float("-inf"))
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype)
    return torch.einsum("nhgsl,nhld->nhgsd", weights, v)


AttentionInterface.register(NAME, attend)
