"""Which rollout OmegaPRM looks at next (arXiv 2406.06592)."""

from __future__ import annotations

import math


def omega_q(monte_carlo: float, length: int, alpha: float = 0.5, beta: float = 0.9, max_length: float = 500.0) -> float:
    """Q(s, r) = alpha^(1 - MC(s)) beta^(len(r) / L): rollouts of promising prefixes first, short ones before long.

    The unit of lengths is the caller's: label stages count tokens, OpenR words.

    Args:
        monte_carlo: share of the completions of prefix s that are right, in [0, 1].
        length: length of the rollout r.
        alpha, beta: in (0, 1].
        max_length: L, in the same unit.
    """
    return float(alpha ** (1 - monte_carlo) * beta ** (length / max_length))


def omega_u(total_visits: int, visits: int, c_puct: float = 0.125) -> float:
    """U(s) = c_puct sqrt(sum_i N(s_i)) / (1 + N(s)): states that were seldom chosen first."""
    return c_puct * math.sqrt(total_visits) / (1 + visits)
