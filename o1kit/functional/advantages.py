"""Generalised advantage estimation. Suffixes: B sequences, T tokens, right-padded."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Advantages(NamedTuple):
    """Advantages and the value targets `returns = advantages + values`, both [B, T] and 0 where the mask is False."""

    advantages: Tensor
    returns: Tensor


def gae(rewards_BT: Tensor, values_BT: Tensor, mask_BT: Tensor, gamma: float, gae_lambda: float) -> Advantages:
    """A_t = sum_l (gamma lambda)^l delta_{t+l} with delta_t = r_t + gamma V_{t+1} - V_t (arXiv 1506.02438).

    Time runs forward; `values_BT[:, t]` is the value *before* token t, and the value after a sequence's last counted
    token is 0: sequences are complete.
    """
    advantages = torch.zeros_like(values_BT)
    following = torch.zeros_like(values_BT[:, 0])
    running = torch.zeros_like(following)
    for t in range(values_BT.shape[1] - 1, -1, -1):
        counts = mask_BT[:, t]
        delta = rewards_BT[:, t] + gamma * following - values_BT[:, t]
        running = torch.where(counts, delta + gamma * gae_lambda * running, torch.zeros_like(running))
        following = torch.where(counts, values_BT[:, t], torch.zeros_like(following))
        advantages[:, t] = running
    return Advantages(advantages, (advantages + values_BT) * mask_BT)
