"""Losses of direct preference optimisation. All are of one number a pair: how far its log-ratios are apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class LogRatios(NamedTuple):
    """log pi(chain) - log pi_ref(chain) of both chains of each pair, [P] each, in nats."""

    chosen: Tensor
    rejected: Tensor

    @property
    def margin(self) -> Tensor:
        """How much more the policy has come to prefer the chosen chain than the reference does, [P]."""
        return self.chosen - self.rejected


def chain_logprobs(logprobs_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """log pi(chain): the sum over the tokens that count, [B]."""
    return (logprobs_BT * mask_BT).sum(dim=1)


def mean_logprobs(logprobs_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The mean over the tokens that count, [B]: chains of different lengths become comparable."""
    return chain_logprobs(logprobs_BT, mask_BT) / mask_BT.sum(dim=1).clamp(min=1)


def sigmoid_loss(margin_P: Tensor, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """-(1 - e) log sigmoid(beta m) - e log sigmoid(-beta m), mean over pairs (DPO, arXiv 2305.18290).

    e > 0 is conservative DPO: the share of pairs whose order is taken to be wrong.
    """
    right = torch.nn.functional.softplus(-beta * margin_P)
    wrong = torch.nn.functional.softplus(beta * margin_P)
    return ((1 - label_smoothing) * right + label_smoothing * wrong).mean()


def ipo_loss(margin_P: Tensor, beta: float) -> Tensor:
    """(m - 1 / (2 beta))^2, mean over pairs (IPO, arXiv 2310.12036 eq. 17 with tau = beta).

    Its authors use it with log-probabilities averaged over tokens.
    """
    return ((margin_P - 1 / (2 * beta)) ** 2).mean()


def shared_prefix(chosen: Sequence[int], rejected: Sequence[int]) -> int:
    """How many tokens both chains begin with."""
    pairs = zip(chosen, rejected, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(chosen), len(rejected)))
