"""The Llama family's forward pass with fewer operations: the same weights, for small models and small batches.

transformers spends more time between the operations of a small model than in them. Legend: N tokens, D head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import rms_norm

from o1kit.engines.torch.attention import rows_attention

FAMILIES = ("LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model")
"""Decoders of transformers that are built as `lean_hidden` expects; the tests compare each with the original."""


def suits(decoder: Any) -> bool:
    """True for a decoder of one of the families, in float32, where the engine's own pass gives the same numbers."""
    return type(decoder).__name__ in FAMILIES and decoder.norm.weight.dtype == torch.float32


def lean_hidden(decoder: Any, tokens_N: Tensor, positions_N: Tensor) -> Tensor:
    """Last hidden states [N, hidden] of the pass that is running (see `attention.running`)."""
    x = decoder.embed_tokens(tokens_N)
    cos, sin = (table[0, :, None] for table in decoder.rotary_emb(x[None], positions_N[None]))
    half = cos.shape[-1] // 2
    sin = torch.cat((-sin[..., :half], sin[..., half:]), dim=-1)
    for layer in decoder.layers:
        x = x + _attention(layer.self_attn, _norm(x, layer.input_layernorm), cos, sin)
        h, mlp = _norm(x, layer.post_attention_layernorm), layer.mlp
        x = x + mlp.down_proj(mlp.act_fn(mlp.gate_proj(h)).mul_(mlp.up_proj(h)))
    return _norm(x, decoder.norm)


def _attention(module: Any, h: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    q, k, v = (p(h).unflatten(-1, (-1, module.head_dim)) for p in (module.q_proj, module.k_proj, module.v_proj))
    if hasattr(module, "q_norm"):
        q, k = _norm(q, module.q_norm), _norm(k, module.k_norm)
    both = torch.cat((q, k), dim=1)
    half = both.shape[-1] // 2
    both = torch.addcmul(both * cos, both.roll(half, dims=-1), sin)
    q, k = both[:, : q.shape[1]], both[:, q.shape[1] :]
    window = getattr(module, "sliding_window", None)
    if type(module).__name__ == "MistralAttention":
        window = module.config.sliding_window
    out = rows_attention(module.layer_idx, q, k, v, module.scaling, window)
    projected: Tensor = module.o_proj(out.flatten(1))
    return projected


def _norm(x: Tensor, module: Any) -> Tensor:
    return rms_norm(x, x.shape[-1:], module.weight, module.variance_epsilon)
