"""How good judgements of steps and of chains are. Plain floats and numpy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from o1kit.functional.statistics import expected_calibration_error, roc_auc

NO_ERROR = -1
"""Place of the first error in a chain without any, as ProcessBench writes it."""


class WithinAuc(NamedTuple):
    """Mean AUC within problems, and over how many; None where no problem has both kinds of chains."""

    auc: float | None
    problems: int


class ProcessBench(NamedTuple):
    """Accuracies of finding the first error, and of finding none; None where there are no such chains."""

    f1: float | None
    error_accuracy: float | None
    correct_accuracy: float | None


class Bin(NamedTuple):
    """One bar of a reliability diagram: how often what was said with a probability in [low, high) came true."""

    low: float
    high: float
    size: int
    predicted: float
    observed: float


def within_auc(scores: Sequence[float], labels: Sequence[bool], problems: Sequence[Hashable]) -> WithinAuc:
    """The AUC among the chains of each problem that has right and wrong ones, averaged over those problems.

    Unlike the AUC over all chains it is 1/2 for a model that knows only how hard a problem is.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for i, problem in enumerate(problems):
        members[problem].append(i)
    mixed = [own for own in members.values() if 0 < sum(bool(labels[i]) for i in own) < len(own)]
    found = [roc_auc([scores[i] for i in own], [labels[i] for i in own]) for own in mixed]
    return WithinAuc(sum(found) / len(found) if found else None, len(found))


def step_accuracy(scores: Sequence[float], labels: Sequence[float], threshold: float = 0.5) -> float:
    """Share of steps on whose side of the threshold score and label agree; 0 for no steps."""
    agree = [(score >= threshold) == (label >= threshold) for score, label in zip(scores, labels, strict=True)]
    return sum(agree) / max(len(agree), 1)


def first_error(values: Sequence[float], threshold: float = 0.5) -> int:
    """Number of the first step below the threshold, from 0; -1 if none is."""
    return next((i for i, value in enumerate(values) if value < threshold), NO_ERROR)


def process_bench(
    scores: Sequence[Sequence[float]], labels: Sequence[Sequence[float]], threshold: float = 0.5
) -> ProcessBench:
    """F1 of ProcessBench (arXiv 2412.06559) from the values of every step of each chain.

    A chain with an error counts when exactly its first wrong step is the first one judged wrong; one without, when no
    step is judged wrong. F1 is the harmonic mean of both accuracies, and 0 when one of them is.
    """
    return process_bench_f1([first_error(chain) for chain in labels], [first_error(c, threshold) for c in scores])


def process_bench_f1(first_errors_true: Sequence[int], first_errors_predicted: Sequence[int]) -> ProcessBench:
    """The same from the places of first errors, one a chain; `NO_ERROR` for a chain without one."""
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for wanted, found in zip(first_errors_true, first_errors_predicted, strict=True):
        hits[wanted != NO_ERROR].append(found == wanted)
    error, correct = (sum(h) / len(h) if h else None for h in (hits[True], hits[False]))
    if error is None or correct is None:
        return ProcessBench(None, error, correct)
    return ProcessBench(2 * error * correct / (error + correct) if error + correct else 0.0, error, correct)


def best_threshold(first_errors_true: Sequence[int], scores: Sequence[Sequence[float]]) -> float:
    """The threshold with the best F1 of these chains, to be used on others; the one nearest to 1/2 among equals.

    Looks half-way between neighbouring scores, at most at 200 places.
    """
    seen = np.unique([score for chain in scores for score in chain])
    places = np.concatenate([[0.5], (seen[:-1] + seen[1:]) / 2])
    if len(places) > 200:
        places = np.concatenate([[0.5], np.quantile(places, np.linspace(0, 1, 199))])

    def quality(threshold: float) -> tuple[float, float]:
        found = [first_error(chain, threshold) for chain in scores]
        return process_bench_f1(first_errors_true, found).f1 or 0.0, -abs(threshold - 0.5)

    return float(max((float(place) for place in places), key=quality))


def reliability(probabilities: Sequence[float], labels: Sequence[float], bins: int = 10) -> list[Bin]:
    """The filled ones of equally wide bins of probability, each with its mean prediction and its observed rate.

    The gaps |predicted - observed|, weighted by the sizes, add up to the expected calibration error (Guo et al. 2017).
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    index = np.minimum((p * bins).astype(int), bins - 1)
    found = [(int(b), index == b) for b in np.unique(index)]
    return [Bin(b / bins, (b + 1) / bins, int(m.sum()), float(p[m].mean()), float(y[m].mean())) for b, m in found]


def inner_and_ends(
    scores: Sequence[float], labels: Sequence[float], ends: Sequence[bool]
) -> dict[str, tuple[float, float | None]]:
    """Calibration error and AUC of the steps within chains (`inner`) and of their ends (`ends`), where there are any.

    Completions that were sampled for the labels of a step are chains with a label at their end alone: there may be many
    of them, and how well ends are told hides how well steps are. The AUC is None where all labels are alike.
    """
    found: dict[str, tuple[float, float | None]] = {}
    for name, wanted in (("inner", False), ("ends", True)):
        part = [(p, y) for p, y, end in zip(scores, labels, ends, strict=True) if end is wanted]
        if part:
            p, y = [list(column) for column in zip(*part, strict=True)]
            good = [value >= 0.5 for value in y]
            found[name] = (expected_calibration_error(p, y), roc_auc(p, good) if len(set(good)) == 2 else None)
    return found
