"""The Llama family's forward pass with fewer operations: the same weights, for small models and small batches.

transformers spends more time between the operations of a small model than in them. Legend: N tokens, D head width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm

from o1kit.engines.torch.attention import rows_attention

FAMILIES = ("LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model")
"""Decoders of transformers that are built as `Lean` expects; the tests compare each with the original."""
Map = Callable[[Tensor], Tensor]


def suits(decoder: Any) -> bool:
    """True for a decoder of one of the families, in float32, where the engine's own pass gives the same numbers."""
    return type(decoder).__name__ in FAMILIES and decoder.norm.weight.dtype == torch.float32


class Layer(NamedTuple):
    """What one transformer block computes with, taken out of its modules."""

    number: int
    before_attention: Map
    query: Map
    key: Map
    value: Map
    query_norm: Map | None
    key_norm: Map | None
    output: Map
    before_mlp: Map
    gate: Map
    up: Map
    activation: Map
    down: Map
    width: int
    scaling: float
    window: int | None


class Lean:
    """The pass over a decoder as it is now: to be made anew when parameters or adapters may have been replaced."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.layers = [_layer(module) for module in decoder.layers]
        self.norm = _norm(decoder.norm)

    def hidden(self, tokens_N: Tensor, positions_N: Tensor) -> Tensor:
        """Last hidden states [N, hidden] of the pass that is running (see `attention.running`)."""
        x = self.decoder.embed_tokens(tokens_N)
        cos, sin = (table[0, :, None] for table in self.decoder.rotary_emb(x[None], positions_N[None]))
        half = cos.shape[-1] // 2
        sin = torch.cat((-sin[..., :half], sin[..., half:]), dim=-1)
        for layer in self.layers:
            x = x + _attention(layer, layer.before_attention(x), cos, sin)
            h = layer.before_mlp(x)
            x = x + layer.down(layer.activation(layer.gate(h)).mul_(layer.up(h)))
        return self.norm(x)


def _attention(layer: Layer, h: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    q, k, v = (p(h).view(len(h), -1, layer.width) for p in (layer.query, layer.key, layer.value))
    if layer.query_norm is not None and layer.key_norm is not None:
        q, k = layer.query_norm(q), layer.key_norm(k)
    heads = q.shape[1]
    both = torch.cat((q, k), dim=1)
    both = torch.addcmul(both * cos, both.roll(layer.width // 2, dims=-1), sin)
    out = rows_attention(layer.number, both[:, :heads], both[:, heads:], v, layer.scaling, layer.window)
    return layer.output(out.flatten(1))


def _layer(module: Any) -> Layer:
    attention, mlp = module.self_attn, module.mlp
    return Layer(
        number=attention.layer_idx,
        before_attention=_norm(module.input_layernorm),
        query=_linear(attention.q_proj),
        key=_linear(attention.k_proj),
        value=_linear(attention.v_proj),
        query_norm=_norm(attention.q_norm) if hasattr(attention, "q_norm") else None,
        key_norm=_norm(attention.k_norm) if hasattr(attention, "k_norm") else None,
        output=_linear(attention.o_proj),
        before_mlp=_norm(module.post_attention_layernorm),
        gate=_linear(mlp.gate_proj),
        up=_linear(mlp.up_proj),
        activation=mlp.act_fn,
        down=_linear(mlp.down_proj),
        width=attention.head_dim,
        scaling=attention.scaling,
        window=window(attention),
    )


def window(attention: Any) -> int | None:
    """How many positions a token of this layer reads at most, itself included; None: all."""
    if type(attention).__name__ == "MistralAttention":
        return cast(int | None, attention.config.sliding_window)
    return getattr(attention, "sliding_window", None)


def _norm(module: Any) -> Map:
    weight, epsilon = module.weight, module.variance_epsilon
    return lambda x: rms_norm(x, weight.shape, weight, epsilon)


def _linear(module: Any) -> Map:
    """A plain layer without the module's hooks; anything else (an adapter, a quantised layer) as it is."""
    return partial(linear, weight=module.weight, bias=module.bias) if type(module) is nn.Linear else module
