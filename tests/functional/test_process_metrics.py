"""Metrics of reward models against scikit-learn and examples worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, roc_auc_score

from o1kit.functional.process_metrics import (
    NO_ERROR,
    best_threshold,
    first_error,
    inner_and_ends,
    process_bench_f1,
    reliability,
    step_accuracy,
    within_auc,
)
from o1kit.functional.statistics import expected_calibration_error

RANDOM = np.random.default_rng(5)
P = RANDOM.uniform(size=400)
Y = RANDOM.uniform(size=400) < P**2


def test_process_bench_by_hand() -> None:
    """Three chains with an error, of which one is found at its place; two without, one of them taken for such."""
    true = [0, 2, 1, NO_ERROR, NO_ERROR]
    found = process_bench_f1(true, [0, 1, NO_ERROR, NO_ERROR, 3])
    assert (found.error_accuracy, found.correct_accuracy) == (pytest.approx(1 / 3), 0.5)
    assert found.f1 == pytest.approx(2 / (3 + 2)), "harmonic mean of 1/3 and 1/2"
    assert process_bench_f1(true, true).f1 == 1
    assert process_bench_f1(true, [NO_ERROR] * 5).f1 == 0, "a model that sees no errors is worth nothing"


@pytest.mark.parametrize("true", [[0, 1], [NO_ERROR], []])
def test_process_bench_needs_both_kinds_of_chains(true: list[int]) -> None:
    assert process_bench_f1(true, true).f1 is None


def test_the_first_error_is_the_first_step_below_the_threshold() -> None:
    assert first_error([0.9, 0.5, 0.4, 0.1]) == 2
    assert first_error([0.9, 0.5, 0.4, 0.1], 0.6) == 1
    assert first_error([0.9, 0.5]) == NO_ERROR
    assert first_error([]) == NO_ERROR


def test_the_best_threshold_by_hand() -> None:
    """Good steps are at .8 or more and bad ones at .7: only a threshold between them tells all."""
    chains, true = [[0.9, 0.7], [0.8, 0.8], [0.7, 0.9]], [1, NO_ERROR, 0]
    assert best_threshold(true, chains) == pytest.approx(0.75)
    assert best_threshold([1, NO_ERROR], [[0.9, 0.1], [0.9, 0.9]]) == 0.5, "nearest to 1/2 among equals"


def test_step_accuracy_is_scikit_learns() -> None:
    assert step_accuracy(list(P), list(Y.astype(float))) == pytest.approx(accuracy_score(Y, P >= 0.5))
    assert step_accuracy([0.6, 0.4], [0.5, 0.5], 0.5) == 0.5, "a label of one half is good"


def test_auc_within_problems_is_the_mean_of_scikit_learns() -> None:
    problems = [f"p{i % 40}" for i in range(400)]
    expected = []
    for name in set(problems):
        chosen = [i for i, other in enumerate(problems) if other == name]
        if len(set(Y[chosen])) == 2:
            expected.append(roc_auc_score(Y[chosen], P[chosen]))
    found, count = within_auc(list(P), list(Y), problems)
    assert found == pytest.approx(np.mean(expected))
    assert count == len(expected)


def test_knowing_which_problem_is_easy_is_no_knowledge_within_one() -> None:
    scores = [0.9, 0.9, 0.9, 0.1, 0.1, 0.1]
    assert within_auc(scores, [True, True, False, True, False, False], list("aaabbb")).auc == 0.5
    assert within_auc([0.1, 0.9], [False, True], list("ab")) == (None, 0)


def test_the_reliability_table_is_scikit_learns_and_sums_to_the_calibration_error() -> None:
    rows = reliability(list(P), list(Y.astype(float)), 10)
    observed, predicted = calibration_curve(Y, P, n_bins=10)
    assert [row.observed for row in rows] == pytest.approx(list(observed))
    assert [row.predicted for row in rows] == pytest.approx(list(predicted))
    assert sum(row.size for row in rows) == 400
    error = sum(row.size * abs(row.predicted - row.observed) for row in rows) / 400
    assert error == pytest.approx(expected_calibration_error(list(P), list(Y.astype(float))))
    assert reliability([1.0], [1.0])[0][:3] == (0.9, 1.0, 1), "certainty is in the last bin"
    assert reliability([], []) == []


def test_steps_and_ends_of_chains_are_told_apart() -> None:
    """Ends that are told well do not hide steps that are not."""
    ends = [True] * 90 + [False] * 10
    scores = [0.9, 0.1] * 45 + [0.9] * 10
    labels = [1.0, 0.0] * 45 + [1.0, 0.0] * 5
    found = inner_and_ends(scores, labels, ends)
    assert found["ends"] == (pytest.approx(0.1), 1.0)
    assert found["inner"] == (pytest.approx(0.4), 0.5)
    assert expected_calibration_error(scores, labels) < 0.14
    assert inner_and_ends([0.5], [1.0], [False]) == {"inner": (0.5, None)}
