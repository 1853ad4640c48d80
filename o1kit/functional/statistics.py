"""Figures with their uncertainty. Plain floats and numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Z_95 = 1.959963984540054


class Interval(NamedTuple):
    """A mean with the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def wilson_interval(successes: float, trials: int, z: float = Z_95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927)."""
    if trials == 0:
        return Interval(0.0, 0.0, 1.0)
    p = successes / trials
    centre = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def bootstrap_interval(values: Sequence[float], seed: int = 0, resamples: int = 2000) -> Interval:
    """Mean of one value a problem, with the percentile bootstrap over problems (Efron 1979).

    Where all are right or all wrong there is nothing to draw: see `alike`.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        return Interval(0.0, 0.0, 1.0)
    if data.min() == data.max() and 0 <= data[0] <= 1:
        return alike(float(data[0]), data.size)
    draws = np.random.default_rng(seed).integers(0, data.size, size=(resamples, data.size))
    low, high = np.quantile(data[draws].mean(axis=1), [0.025, 0.975])
    return Interval(float(data.mean()), float(low), float(high))


def alike(value: float, count: int, least: float = 0.0, most: float = 1.0) -> Interval:
    """A value that all problems have, with what so many leave open: those not seen may be between `least` and `most`.

    A share q of all such problems may have any other. That none of n is seen has a chance of (1 - q)^n, which is 5 % at
    q = 1 - 0.05^(1/n), about 3/n (the rule of three, Hanley and Lippman-Hand 1983).
    """
    q = 1 - 0.05 ** (1 / count)
    return Interval(value, value - q * (value - least), value + q * (most - value))


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Unbiased estimate of P(at least one of k samples is right): 1 - C(n - c, k) / C(n, k) (arXiv 2107.03374)."""
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)


def explained_variance(predictions: Sequence[float], targets: Sequence[float]) -> float:
    """1 - Var(target - prediction) / Var(target); 0 when the targets do not vary."""
    target = np.asarray(targets, dtype=np.float64)
    spread = float(target.var())
    return 1.0 - float((target - np.asarray(predictions)).var()) / spread if spread > 0 else 0.0


def f1(called: Sequence[bool], actual: Sequence[bool]) -> float:
    """2 TP / (2 TP + FP + FN); 1 when there is nothing to find and nothing was called."""
    hits = sum(c and a for c, a in zip(called, actual, strict=True))
    total = sum(called) + sum(actual)
    return 2 * hits / total if total else 1.0


def expected_calibration_error(probabilities: Sequence[float], labels: Sequence[float], bins: int = 10) -> float:
    """Mean gap between predicted and observed rate over equally wide bins, weighted by their size (Guo et al. 2017)."""
    p, y = np.asarray(probabilities), np.asarray(labels)
    index = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [abs(p[index == b].mean() - y[index == b].mean()) * (index == b).sum() for b in np.unique(index)]
    return float(sum(gaps) / max(len(p), 1))


def roc_auc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Chance that a positive scores higher than a negative, ties counting half (Mann-Whitney).

    Raises:
        ValueError: one of the classes is empty.
    """
    s, y = np.asarray(scores), np.asarray(labels, dtype=bool)
    if y.all() or not y.any():
        raise ValueError("AUC needs both classes")
    _, inverse, counts = np.unique(s, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int(y.sum())
    return float((ranks[y].sum() - positives * (positives + 1) / 2) / (positives * (len(y) - positives)))
