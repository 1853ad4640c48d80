"""The next token of each row by kernels.c, as `functional.sampling.draw` finds it. Legend: n rows, V vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

from o1kit.engines.torch.compiled import library

MARGIN = 256
"""Floats that a thread needs beyond twice the vocabulary."""


def suits(logits_nV: Tensor) -> bool:
    """True for what kernels.c can draw from, on a machine that can compile it."""
    return logits_nV.dtype == torch.float32 and logits_nV.device.type == "cpu" and library() is not None


def append(
    logits_nV: Tensor,
    temperatures_n: Tensor,
    state_n4: Tensor,
    stops_SV: Tensor,
    tokens_nT: Tensor,
    logprobs_nT: Tensor,
) -> list[int]:
    """Puts a token of each row and its untempered log-probability behind its last one; returns the rows that end.

    A state is a row's length, which grows by one, its limit, its key and the number of its set of tokens to stop at.
    All tensors but the logits are contiguous; a temperature of 0 takes the likeliest token.
    """
    found, logits, (n, size) = library(), logits_nV.contiguous(), logits_nV.shape
    assert found is not None
    assert tokens_nT.stride() == logprobs_nT.stride()
    threads, ended = torch.get_num_threads(), torch.empty(n, dtype=torch.long, device="cpu")
    scratch = torch.empty(threads * (2 * size + MARGIN), dtype=torch.float32, device="cpu")
    given = (x.data_ptr() for x in (logits, temperatures_n, state_n4, stops_SV, tokens_nT, logprobs_nT))
    count = found.o1kit_append(n, size, *given, tokens_nT.stride(0), ended.data_ptr(), scratch.data_ptr(), threads)
    rows: list[int] = ended[:count].tolist()
    return rows
