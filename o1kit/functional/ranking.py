"""Losses that compare readings of one problem with one another, so that how hard a problem is cannot help."""

from __future__ import annotations

import torch
from torch import Tensor


def ranking_loss(readings_N: Tensor, labels_N: Tensor, groups_N: Tensor) -> Tensor:
    """Mean over groups of  sum_ij w_ij softplus(r_j - r_i) / sum_ij w_ij,  w_ij = max(y_i - y_j, 0), in nats.

    Bradley and Terry (1952): softplus(r_j - r_i) = -log sigmoid(r_i - r_j) is the surprise at i being the better one.
    With labels 0 and 1 every pair of a right and a wrong reading counts the same; with soft labels a pair counts by how
    far its labels are apart. Each group weighs the same, however many pairs it has, and one without two different
    labels nothing. Only pairs within a group are formed. Zero, with zero gradients, where there is no pair at all.

    Args:
        readings_N: raw readings (log-odds), in any order.
        labels_N: labels in [0, 1].
        groups_N: which readings may be compared: whole numbers.
    """
    order = torch.argsort(groups_N, stable=True)
    _, sizes = torch.unique_consecutive(groups_N[order], return_counts=True)
    total, groups = readings_N.sum() * 0, 0
    for members in torch.split(order, sizes.tolist()):
        labels = labels_N[members]
        weights = (labels[:, None] - labels[None, :]).clamp(min=0)
        mass = weights.sum()
        if mass > 0:
            readings = readings_N[members]
            surprise = torch.nn.functional.softplus(readings[None, :] - readings[:, None])
            total, groups = total + (weights * surprise).sum() / mass, groups + 1
    return total / max(groups, 1)


def ranking_accuracy(readings_N: Tensor, labels_N: Tensor, groups_N: Tensor) -> Tensor:
    """Share of the pairs with different labels in a group that are in the right order, ties counting half."""
    better = (labels_N[:, None] > labels_N[None, :]) & (groups_N[:, None] == groups_N[None, :])
    gaps = readings_N.detach()[:, None] - readings_N.detach()[None, :]
    return (torch.sign(gaps) * 0.5 + 0.5)[better].sum() / better.sum().clamp(min=1)
