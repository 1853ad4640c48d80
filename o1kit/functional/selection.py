"""Which child of a node to look at next: upper confidence rules on plain numbers."""

from __future__ import annotations

import math

PB_C_BASE = 19652.0
"""Visits at which AlphaZero's exploration rate starts to grow."""


def puct_score(
    value: float, prior: float, parent_visits: int, visits: int, c_puct: float = 1.25, base: float = PB_C_BASE
) -> float:
    """value + (ln((N + base + 1) / base) + c_puct) * prior * sqrt(N) / (1 + n), N visits of the parent, n of the child.

    Source: AlphaZero (Silver et al. 2017), pseudo-code of the 2018 paper.
    """
    rate = math.log((parent_visits + base + 1) / base) + c_puct
    return value + rate * prior * math.sqrt(parent_visits) / (1 + visits)


def ucb1_score(value: float, parent_visits: int, visits: int, c: float) -> float:
    """value + c sqrt(2 ln N / n) (Auer et al. 2002); infinite for an unvisited child."""
    return value + c * math.sqrt(2 * math.log(parent_visits) / visits) if visits else math.inf
