"""Chains in order, by a reward that says which of two is better."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import combinations

from o1kit.functional.borda import global_values
from o1kit.protocols import RankingReward
from o1kit.types import State


async def borda_values(reward: RankingReward, states: Sequence[State]) -> list[float]:
    """1 for the best chain down to 0 for the worst, by the Enhanced Borda Count over all pairs (arXiv 2410.02884).

    Chains of equal tokens are one: they have the same value, and are compared with the others once.
    """
    unique = list({state.token_ids: state for state in states}.values())
    pairs = list(combinations(range(len(unique)), 2))
    found = await asyncio.gather(*(reward.prefer(unique[i], unique[j]) for i, j in pairs))
    matrix: list[list[float | None]] = [[None] * len(unique) for _ in unique]
    for (i, j), probability in zip(pairs, found, strict=True):
        matrix[i][j] = probability
        matrix[j][i] = None if probability is None else 1 - probability
    values = dict(zip((state.token_ids for state in unique), global_values(matrix), strict=True))
    return [values[state.token_ids] for state in states]
