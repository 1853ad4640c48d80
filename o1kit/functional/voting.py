"""One answer from many. `None` (no answer) never wins unless there is nothing else; ties go to the first seen."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence


def unified(answers: Sequence[str | None], alike: Callable[[str], Hashable] | None) -> list[str | None]:
    """The answers, each in the words of the first one that it is `alike`, so that equal ones count together.

    `None` for `alike`: only the same text is.
    """
    if alike is None:
        return list(answers)
    words: dict[Hashable, str] = {}
    return [None if answer is None else words.setdefault(alike(answer), answer) for answer in answers]


def tally(answers: Sequence[str | None], weights: Sequence[float]) -> dict[str, float]:
    """The sum of weights of each answer, sum_i 1[a_i = a] w_i, in the order in which answers were first seen."""
    totals: dict[str, float] = {}
    for answer, weight in zip(answers, weights, strict=True):
        if answer is not None:
            totals[answer] = totals.get(answer, 0.0) + weight
    return totals


def majority_vote(answers: Sequence[str | None]) -> str | None:
    """The most frequent answer (self-consistency, Wang et al. 2022)."""
    return weighted_vote(answers, [1.0] * len(answers))


def weighted_vote(answers: Sequence[str | None], weights: Sequence[float]) -> str | None:
    """The answer with the largest sum of weights: argmax_a sum_i 1[a_i = a] w_i (Math-Shepherd, arXiv 2312.08935)."""
    totals = tally(answers, weights)
    return max(totals, key=totals.__getitem__) if totals else None


def best(answers: Sequence[str | None], scores: Sequence[float]) -> str | None:
    """The answer of the highest score."""
    pairs = [(score, -i) for i, (answer, score) in enumerate(zip(answers, scores, strict=True)) if answer is not None]
    return answers[-max(pairs)[1]] if pairs else None
