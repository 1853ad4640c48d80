"""Whether one method is better than another on the same problems. Plain floats and numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from o1kit.functional.statistics import Interval, alike, bootstrap_interval

EQUAL = 1e-9
"""Differences up to this are none: means of the same marks may differ in their last bits."""
DRAWS = 1 << 24
"""Most random numbers held at once."""


class Paired(NamedTuple):
    """Two methods on the same problems: the mean difference, and on how many problems which of them is better."""

    difference: Interval
    better: int
    worse: int
    p: float
    """Of the exact sign test."""


def sign_test(better: int, worse: int) -> float:
    """Two-sided p value of the exact sign test; for marks of 0 and 1 this is McNemar's exact test (1947).

    Of the problems where two methods differ, either is better with chance 1/2 if neither is: p is the chance of a split
    at least as uneven, 2 P(X <= min(better, worse)) with X ~ Binomial(better + worse, 1/2), at most 1.
    """
    total = better + worse
    tail = sum(math.comb(total, k) for k in range(min(better, worse) + 1))
    return min(1.0, float(2 * tail / 2**total))


def paired(first: Sequence[float], second: Sequence[float], seed: int = 0, resamples: int = 2000) -> Paired:
    """First against second, one value a problem in the same order.

    The interval is the percentile bootstrap of the mean difference over problems: problems are drawn in pairs, so what
    makes a problem hard for both does not widen it. Where all differ alike there is nothing to draw: see `alike`.

    Raises:
        ValueError: they are not of the same problems.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values against {len(second)}: pairs need the same problems")
    differences = [a - b for a, b in zip(first, second, strict=True)]
    better, worse = sum(d > EQUAL for d in differences), sum(d < -EQUAL for d in differences)
    if not differences:
        interval = Interval(0.0, -1.0, 1.0)
    elif max(differences) - min(differences) <= EQUAL:
        same = sum(differences) / len(differences)
        most = max(1.0, abs(same))  # values that are not in [0, 1] differ by no more than these do
        interval = alike(same, len(differences), -most, most)
    else:
        interval = bootstrap_interval(differences, seed, resamples)
    return Paired(interval, better, worse, sign_test(better, worse))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for their number, in the same order (Holm 1979): p_(i) -> max_{j <= i} min(1, (m - j) p_(j)).

    With j counted from 0 over the sorted values. To call those up to 0.05 significant is wrong anywhere in the family
    with a chance of at most 5 %, however the tests depend on one another.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def hierarchical_interval(values: Sequence[Sequence[float]], seed: int = 0, resamples: int = 2000) -> Interval:
    """Mean of values[seed][problem], with the percentile bootstrap over problems and, within each, over seeds.

    Each resample draws problems with replacement, then for each of them as many seeds as there are, with replacement:
    seeds are independent runs of the same search. With one seed this is `bootstrap_interval`.

    Raises:
        ValueError: the seeds do not have the same number of problems.
    """
    if len({len(line) for line in values}) > 1:
        raise ValueError("every seed needs the same problems")
    if len(values) < 2 or not values[0]:
        return bootstrap_interval(values[0] if values else (), seed, resamples)
    data = np.asarray(values, dtype=np.float64).T
    problems, seeds = data.shape
    if data.min() == data.max():
        return bootstrap_interval(data[:, 0].tolist(), seed, resamples)
    generator = np.random.default_rng(seed)
    means: list[float] = []
    while len(means) < resamples:
        count = min(resamples - len(means), max(1, DRAWS // data.size))
        drawn = generator.integers(0, problems, size=(count, problems, 1))
        within = generator.integers(0, seeds, size=(count, problems, seeds))
        means.extend(data[drawn, within].mean(axis=(1, 2)).tolist())
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(data.mean()), float(low), float(high))
