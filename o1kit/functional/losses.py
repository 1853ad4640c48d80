"""Losses of proximal policy optimisation. Suffixes: B sequences, T tokens; masks True = counts; one loss each."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from o1kit.functional.masking import masked_mean, mean_per_sequence


class PolicyLoss(NamedTuple):
    """Loss of each sequence [B], and scalars that tell how far the policy has moved."""

    loss_B: Tensor
    ratio_mean: Tensor
    clip_fraction: Tensor
    kl_old: Tensor


def clipped_policy_loss(
    logprobs_BT: Tensor, old_logprobs_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor, clip_ratio: float
) -> PolicyLoss:
    """-min(r A, clip(r, 1 - c, 1 + c) A) with r = pi(token) / pi_old(token), mean over tokens (arXiv 1707.06347)."""
    difference = (logprobs_BT - old_logprobs_BT) * mask_BT
    ratio = difference.exp()
    clipped = ratio.clamp(1 - clip_ratio, 1 + clip_ratio)
    objective = torch.minimum(ratio * advantages_BT, clipped * advantages_BT)
    outside = ((ratio - 1).abs() > clip_ratio).float()
    return PolicyLoss(
        -mean_per_sequence(objective, mask_BT),
        masked_mean(ratio, mask_BT).detach(),
        masked_mean(outside, mask_BT).detach(),
        masked_mean(ratio - 1 - difference, mask_BT).detach(),
    )


def clipped_value_loss(
    values_BT: Tensor, old_values_BT: Tensor, returns_BT: Tensor, mask_BT: Tensor, clip: float
) -> Tensor:
    """0.5 max((V - R)^2, (V_clipped - R)^2) with V held within `clip` of the old value; mean over tokens, [B]."""
    held = old_values_BT + (values_BT - old_values_BT).clamp(-clip, clip)
    worst = torch.maximum((values_BT - returns_BT) ** 2, (held - returns_BT) ** 2)
    return 0.5 * mean_per_sequence(worst, mask_BT)
