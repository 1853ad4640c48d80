"""Statistics over the tokens that count. Masks are boolean, True = counts. Suffixes: B sequences, T tokens."""

from __future__ import annotations

from torch import Tensor


def masked_mean(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over all counted tokens (a scalar); 0 when none counts."""
    return (x_BT * mask_BT).sum() / mask_BT.sum().clamp(min=1)


def masked_variance(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Population variance over all counted tokens (a scalar)."""
    return masked_mean((x_BT - masked_mean(x_BT, mask_BT)) ** 2, mask_BT)


def masked_normalize(x_BT: Tensor, mask_BT: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Counted tokens shifted to mean 0 and scaled to variance 1; the others are 0."""
    centred = x_BT - masked_mean(x_BT, mask_BT)
    return centred / (masked_variance(x_BT, mask_BT).sqrt() + epsilon) * mask_BT


def mean_per_sequence(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over the counted tokens of each sequence, [B]."""
    return (x_BT * mask_BT).sum(dim=1) / mask_BT.sum(dim=1).clamp(min=1)


def masked_scale(x_BT: Tensor, mask_BT: Tensor, epsilon: float = 1e-6) -> Tensor:
    """x divided by its root mean square over the mask; 0 elsewhere. Unlike whitening it keeps every sign."""
    return x_BT / (masked_mean(x_BT**2, mask_BT).sqrt() + epsilon) * mask_BT
