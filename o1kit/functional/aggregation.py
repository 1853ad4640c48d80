"""How the scores of a chain's steps become one number (Lightman et al. 2023; Snell et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Aggregation = Literal["min", "prod", "last", "mean", "geometric_mean", "max"]


def aggregate(how: Aggregation, scores: Sequence[float]) -> float:
    """The weakest, the product, the last, the mean, the length-neutral product or the strongest of the scores.

    Raises:
        ValueError: there is no score.
    """
    if not scores:
        raise ValueError("no step scores to aggregate")
    match how:
        case "min":
            return min(scores)
        case "prod":
            return math.prod(scores)
        case "last":
            return scores[-1]
        case "mean":
            return sum(scores) / len(scores)
        case "geometric_mean":
            return math.prod(scores) ** (1 / len(scores))
        case "max":
            return max(scores)
