"""How well step labels are predicted: what a reward model knows, apart from what a search makes of it. Plain floats."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from o1kit.functional.statistics import roc_auc

NO_ERROR = -1
"""Place of the first error in a chain without any, as ProcessBench writes it."""


class ProcessBench(NamedTuple):
    """F1 as ProcessBench defines it, and the two accuracies that it is the harmonic mean of."""

    f1: float
    on_wrong: float
    """Share of the chains with an error whose first one is found at its place."""
    on_right: float
    """Share of the chains without an error in which none is seen."""


class Bin(NamedTuple):
    """Predictions of one range [low, high): how many, their mean, and the mean of their labels."""

    low: float
    high: float
    size: int
    predicted: float
    observed: float


def first_error(probabilities: Sequence[float], threshold: float = 0.5) -> int:
    """Index of the first step that is likelier bad than the threshold allows (p < threshold); `NO_ERROR` for none."""
    return next((i for i, p in enumerate(probabilities) if p < threshold), NO_ERROR)


def process_bench_f1(first_errors_true: Sequence[int], first_errors_predicted: Sequence[int]) -> ProcessBench:
    """Harmonic mean of the accuracies on chains with and without an error (ProcessBench, arXiv 2412.06559).

    One index a chain, `NO_ERROR` for a chain without an error. An index counts only if it is exactly the true one.

    Raises:
        ValueError: there are no chains of one of the two kinds, so one accuracy is not defined.
    """
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for true, predicted in zip(first_errors_true, first_errors_predicted, strict=True):
        hits[true == NO_ERROR].append(true == predicted)
    if not hits[True] or not hits[False]:
        raise ValueError("ProcessBench's F1 needs chains with an error and chains without one")
    right, wrong = (sum(hits[kind]) / len(hits[kind]) for kind in (True, False))
    total = right + wrong
    return ProcessBench(2 * right * wrong / total if total else 0.0, wrong, right)


def best_threshold(first_errors_true: Sequence[int], probabilities: Sequence[Sequence[float]]) -> float:
    """The threshold with the best F1 of these chains, to be used on others; the one nearest to 1/2 among equals.

    Looks half-way between all neighbouring probabilities, at most at 200 places.

    Raises:
        ValueError: there are no chains with an error, or none without.
    """
    seen = np.unique([p for chain in probabilities for p in chain])
    places = np.concatenate([[0.5], (seen[:-1] + seen[1:]) / 2])
    if len(places) > 200:
        places = np.concatenate([[0.5], np.quantile(places, np.linspace(0, 1, 199))])

    def quality(threshold: float) -> tuple[float, float]:
        found = [first_error(chain, threshold) for chain in probabilities]
        return process_bench_f1(first_errors_true, found).f1, -abs(threshold - 0.5)

    return float(max((float(place) for place in places), key=quality))


def step_accuracy(probabilities: Sequence[float], labels: Sequence[float], threshold: float = 0.5) -> float:
    """Share of steps on the same side as their label: p >= threshold against label >= 1/2.

    Raises:
        ValueError: there are no steps.
    """
    if not labels:
        raise ValueError("accuracy needs at least one step")
    pairs = zip(probabilities, labels, strict=True)
    return sum((p >= threshold) == (label >= 0.5) for p, label in pairs) / len(labels)


def within_problem_auc(
    problems: Sequence[Hashable], scores: Sequence[float], labels: Sequence[bool]
) -> tuple[float, int]:
    """Mean over problems of the AUC within one problem, and how many problems have both classes.

    A search chooses among chains of one problem: knowing which problems are easy raises the plain AUC, and helps it
    nowhere. Each problem counts the same.

    Raises:
        ValueError: no problem has both classes.
    """
    groups: dict[Hashable, list[int]] = {}
    for i, problem in enumerate(problems):
        groups.setdefault(problem, []).append(i)
    mixed = [g for g in groups.values() if len({bool(labels[i]) for i in g}) == 2]
    if not mixed:
        raise ValueError("AUC within a problem needs a problem with both classes")
    found = [roc_auc([scores[i] for i in g], [bool(labels[i]) for i in g]) for g in mixed]
    return sum(found) / len(found), len(found)


def reliability(probabilities: Sequence[float], labels: Sequence[float], bins: int = 10) -> list[Bin]:
    """The reliability table (Guo et al. 2017, arXiv 1706.04599): equally wide bins that hold any prediction, in order.

    The mean of |predicted - observed|, weighted by `size`, is `expected_calibration_error`.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    index = np.minimum((p * bins).astype(int), bins - 1)
    rows = []
    for b in np.unique(index):
        inside = index == b
        size = int(inside.sum())
        rows.append(Bin(float(b / bins), float((b + 1) / bins), size, float(p[inside].mean()), float(y[inside].mean())))
    return rows
