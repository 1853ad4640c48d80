"""Proportional prioritized replay (Schaul et al. 2015, arXiv 1511.05952)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def sampling_probabilities(priorities: Sequence[float], alpha: float) -> NDArray[np.float64]:
    """P(i) = p_i^alpha / sum_j p_j^alpha."""
    powers = np.asarray(priorities, dtype=np.float64) ** alpha
    probabilities: NDArray[np.float64] = powers / powers.sum()
    return probabilities


def importance_weights(probabilities: NDArray[np.float64], size: int, beta: float) -> NDArray[np.float64]:
    """w_i = (size P(i))^-beta, divided by the largest of them."""
    weights = (size * probabilities) ** -beta
    normalised: NDArray[np.float64] = weights / weights.max()
    return normalised
