"""Truncated sampling: which tokens may be drawn. Legend: n sequences, V vocabulary, k tokens reported."""

from __future__ import annotations

import torch
from torch import Tensor


def truncate(probabilities_nV: Tensor, top_k_n: Tensor, top_p_n: Tensor, min_p_n: Tensor) -> Tensor:
    """Probabilities of the tokens that may be drawn, 0 elsewhere, not renormalised [n, V].

    In the order of transformers' warpers: the `top_k` likeliest (0: all); of these, renormalised, the fewest whose mass
    reaches `top_p` (nucleus sampling, Holtzman et al. 2020; 1: all); of these, those with at least `min_p` times the
    probability of the likeliest (Nguyen et al. 2024; 0: all). The likeliest token always stays.
    """
    size = probabilities_nV.shape[-1]
    ordered, tokens = probabilities_nV.sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(size, device=ordered.device)
    kept = rank < torch.where(top_k_n > 0, top_k_n, size)[:, None]
    within = torch.where(kept, ordered, 0.0)
    within = within / within.sum(dim=-1, keepdim=True)
    before = within.cumsum(dim=-1) - within
    kept &= (before < top_p_n[:, None]) | (top_p_n[:, None] >= 1)
    kept &= ordered >= min_p_n[:, None] * ordered[:, :1]
    kept[:, 0] = True
    return torch.zeros_like(ordered).scatter(-1, tokens, torch.where(kept, ordered, 0.0))


def draw(probabilities_nV: Tensor, noise_n: Tensor) -> Tensor:
    """One token for each sequence [n]: the cumulative distribution inverted at a number in [0, 1).

    Weights need not sum to 1. Cumulated in double precision, so that a token of probability 0 is never drawn.
    """
    cumulative = probabilities_nV.cumsum(dim=-1, dtype=torch.float64)
    drawn = torch.searchsorted(cumulative, noise_n[:, None] * cumulative[:, -1:], right=True).squeeze(1)
    return drawn.clamp(max=probabilities_nV.shape[-1] - 1)
