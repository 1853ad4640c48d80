"""The pass of kernels.c over a small decoder of the Llama family on CPU: the same weights, packed for it.

Legend: N tokens, H key-value heads, L positions, D head width, P columns of a panel.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from o1kit.engines.torch.compiled import library
from o1kit.engines.torch.lean import suits as lean_suits
from o1kit.engines.torch.lean import window
from o1kit.engines.torch.row_cache import RowCache

LANES = 16
"""Widths are whole vectors of the widest kind."""
LARGEST = 2**24
"""Most weights: each core reads all of them in every pass, so they had better fit the cache."""
ROTARY = ("default", "linear", "llama3", "yarn")
"""Position encodings whose tables do not depend on how long a sequence is."""
_NAMES = ("attention_norm", "qkv", "qkv_bias", "query_norm", "key_norm", "output", "output_bias")
_MLP_NAMES = ("mlp_norm", "gate_up", "gate_up_bias", "down", "down_bias")


class _Layer(ctypes.Structure):
    _fields_ = [*((name, ctypes.c_void_p) for name in (*_NAMES, *_MLP_NAMES)), ("window", ctypes.c_int64)]


class _Decoder(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("layers", "embedding", "norm", "cosine", "sine")),
        *((name, ctypes.c_int64) for name in ("num_layers", "hidden", "inner", "heads", "groups", "width")),
        *((name, ctypes.c_float) for name in ("epsilon", "scaling")),
    ]


class _Pass(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("n", "length")),
        *((name, ctypes.c_void_p) for name in ("tokens", "rows", "positions", "keys", "values", "out")),
    ]


def suits(decoder: Any) -> bool:
    """True for a decoder that kernels.c can run, on a machine that can compile it."""
    weights = list(decoder.parameters())
    here = all(type(p) is nn.Parameter and p.dtype == torch.float32 and p.device.type == "cpu" for p in weights)
    if not here or not lean_suits(decoder) or sum(p.numel() for p in weights) > LARGEST:
        return False
    config, width = decoder.config, decoder.layers[0].self_attn.head_dim
    plain = all(type(layer) is nn.Linear for module in decoder.layers for layer in _linears(module))
    bare = not any(list(norm.children()) for norm in (decoder.norm, *_norms(decoder)))
    return (
        plain
        and bare
        and type(decoder.embed_tokens) is nn.Embedding
        and config.hidden_act in ("silu", "swish")
        and decoder.rotary_emb.rope_type in ROTARY
        and config.hidden_size % LANES == width % LANES == 0
        and 2 * len(decoder.rotary_emb.inv_freq) == width
        and library() is not None
    )


def holds(cache: RowCache) -> bool:
    """True for a cache that kernels.c can read and write."""
    stores = (*cache.keys, *cache.values)
    return cache.settled and all(s.dtype == torch.float32 and s.device.type == "cpu" for s in stores)


def version(decoder: Any) -> tuple[tuple[int, int], ...]:
    """Differs once weights have been replaced or changed in place."""
    return tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in decoder.parameters())


class Native:
    """The pass over a decoder as it is now: to be made anew when its `version` is another."""

    def __init__(self, decoder: Any) -> None:
        found = library()
        assert found is not None
        self._library, self._panel = found, found.o1kit_panel()
        self._kept: list[Any] = []
        attention, config = decoder.layers[0].self_attn, decoder.config
        self._hidden = config.hidden_size
        positions = torch.arange(config.max_position_embeddings, device="cpu")
        cosine, sine = (t[0] for t in decoder.rotary_emb(decoder.norm.weight[None, None], positions[None]))
        layers = (_Layer * len(decoder.layers))(*(self._layer(module) for module in decoder.layers))
        self._kept.append(layers)
        heads = attention.k_proj.out_features // attention.head_dim
        self._decoder = _Decoder(
            ctypes.addressof(layers),
            *(self._at(x) for x in (decoder.embed_tokens.weight, decoder.norm.weight, cosine, sine)),
            len(layers),
            self._hidden,
            decoder.layers[0].mlp.up_proj.out_features,
            heads,
            attention.q_proj.out_features // attention.head_dim // heads,
            attention.head_dim,
            decoder.norm.variance_epsilon,
            attention.scaling,
        )

    def _layer(self, module: Any) -> _Layer:
        attention, mlp = module.self_attn, module.mlp
        return _Layer(
            self._at(module.input_layernorm.weight),
            *self._packed(attention.q_proj, attention.k_proj, attention.v_proj),
            *(self._at(n.weight) if (n := getattr(attention, name, None)) else None for name in ("q_norm", "k_norm")),
            *self._packed(attention.o_proj),
            self._at(module.post_attention_layernorm.weight),
            *self._packed(mlp.gate_proj, mlp.up_proj),
            *self._packed(mlp.down_proj),
            window(attention) or 0,
        )

    def _packed(self, *linears: nn.Linear) -> tuple[int, int | None]:
        """Weights side by side as [panels, inputs, P], each filled up to whole panels with zeros, and their biases."""
        panels, biases = [], []
        for linear in linears:
            outputs, inputs = linear.weight.shape
            missing = -outputs % self._panel
            panels.append(pad(linear.weight, (0, 0, 0, missing)).view(-1, self._panel, inputs).transpose(1, 2))
            bias = linear.weight.new_zeros(outputs) if linear.bias is None else linear.bias
            biases.append(pad(bias, (0, missing)))
        biased = any(linear.bias is not None for linear in linears)
        return self._at(torch.cat(panels)), self._at(torch.cat(biases)) if biased else None

    def _at(self, x: Tensor) -> int:
        """Where a tensor lies, which is kept alive."""
        self._kept.append(x.detach().contiguous())
        return int(self._kept[-1].data_ptr())

    def hidden(self, tokens_N: Tensor, rows_N: Tensor, positions_N: Tensor, cache: RowCache) -> Tensor:
        """Last hidden states [N, hidden]; tokens of a row lie side by side, and their order is that of positions."""
        out = torch.empty(len(tokens_N), self._hidden, dtype=torch.float32, device="cpu")
        threads, starts = torch.get_num_threads(), torch.empty(len(tokens_N) + 1, dtype=torch.long, device="cpu")
        each = self._library.o1kit_scratch(ctypes.byref(self._decoder), cache.length)
        scratch = torch.empty(threads * each, dtype=torch.float32, device="cpu")
        stores = ((ctypes.c_void_p * len(x))(*(store.data_ptr() for store in x)) for x in (cache.keys, cache.values))
        arrays = [t.contiguous() for t in (tokens_N, rows_N, positions_N)]
        keys, values = stores
        current = _Pass(
            len(tokens_N),
            cache.length,
            *(a.data_ptr() for a in arrays),
            ctypes.addressof(keys),
            ctypes.addressof(values),
            out.data_ptr(),
        )
        self._library.o1kit_forward(
            ctypes.byref(self._decoder), ctypes.byref(current), starts.data_ptr(), scratch.data_ptr(), each, threads
        )
        return out


def _linears(module: Any) -> Iterator[Any]:
    attention, mlp = module.self_attn, module.mlp
    yield from (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj)
    yield from (mlp.gate_proj, mlp.up_proj, mlp.down_proj)


def _norms(decoder: Any) -> Iterator[Any]:
    for module in decoder.layers:
        yield from (module.input_layernorm, module.post_attention_layernorm)
        yield from (n for name in ("q_norm", "k_norm") if (n := getattr(module.self_attn, name, None)) is not None)
