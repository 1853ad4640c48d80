"""Calibration and metrics of reward models, against scikit-learn and examples worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from o1kit.functional.calibration import MIN_SCALE, fit_platt
from o1kit.functional.process_metrics import first_error, process_bench, reliability, step_accuracy, within_auc
from o1kit.functional.statistics import expected_calibration_error


def by_scikit_learn(columns: Any, labels: Any) -> Any:
    """Logistic regression on Platt's targets: each row once as good and once as bad, weighted by its target."""
    from sklearn.linear_model import LogisticRegression

    good, bad = labels.sum(), (1 - labels).sum()
    target = labels * (good + 1) / (good + 2) + (1 - labels) / (bad + 2)
    both, named = np.concatenate([columns, columns]), np.repeat([True, False], len(labels))
    return LogisticRegression(C=1e8, tol=1e-10).fit(both, named, np.concatenate([target, 1 - target]))


def test_platt_is_scikit_learns_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=400) * 3
    labels = rng.random(400) < 1 / (1 + np.exp(-(0.4 * logits - 0.7)))
    theirs = by_scikit_learn(logits[:, None], labels.astype(float))
    ours = fit_platt(logits.tolist(), labels.astype(float).tolist())
    assert ours.scale == pytest.approx(theirs.coef_[0, 0], abs=1e-3)
    assert ours.bias == pytest.approx(theirs.intercept_[0], abs=1e-3)


def test_platt_recovers_what_was_planted_from_soft_labels() -> None:
    logits = np.tile(np.linspace(-6, 6, 50), 400)
    planted = fit_platt(logits.tolist(), (1 / (1 + np.exp(-(0.3 * logits + 1.1)))).tolist())
    assert planted[:2] == pytest.approx((0.3, 1.1), abs=1e-3)


def test_platt_makes_an_overconfident_model_honest() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(size=4000)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-true))).astype(float)
    said = 6 * true + 2
    scale, bias, _ = fit_platt(said[:2000].tolist(), labels[:2000].tolist())

    def error(z: np.ndarray) -> float:
        return expected_calibration_error((1 / (1 + np.exp(-z))).tolist(), labels[2000:].tolist())

    assert error(said[2000:]) > 0.15
    assert error(scale * said[2000:] + bias) < 0.05


@pytest.mark.parametrize("labels", [[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
def test_platt_stays_finite_where_labels_are_separable(labels: list[float]) -> None:
    scale, bias, _ = fit_platt([-2.0, -1.0, 1.0, 2.0], labels)
    assert np.isfinite([scale, bias]).all() and scale > 0
    assert scale < 5 and bias < 5, "four labels promise no certainty"


def test_platt_never_turns_a_ranking_around() -> None:
    scale, bias, _ = fit_platt([-2.0, -1.0, 1.0, 2.0], [1.0, 1.0, 0.0, 1.0])
    assert scale == MIN_SCALE
    mean = (3 * 4 / 5 + 1 / 3) / 4  # of the targets
    assert bias == pytest.approx(np.log(mean / (1 - mean)), abs=5e-3)
    with pytest.raises(ValueError, match="at least one"):
        fit_platt([], [])


def test_auc_within_problems_sees_through_a_model_that_knows_difficulty_only() -> None:
    problems = ["easy"] * 4 + ["hard"] * 4 + ["solved"] * 2
    labels = [True, True, True, False, True, False, False, False, True, True]
    difficulty = [0.9] * 4 + [0.2] * 4 + [1.0] * 2
    assert within_auc(difficulty, labels, problems) == (0.5, 2)
    assert within_auc([float(x) for x in labels], labels, problems) == (1.0, 2)
    # easy: the wrong one beats one of three; hard: the right one beats all but one of three
    mixed = [0.9, 0.9, 0.1, 0.5, 0.5, 0.1, 0.2, 0.9, 0, 0]
    assert within_auc(mixed, labels, problems).auc == pytest.approx(2 / 3)
    assert within_auc([0.1], [True], ["p"]) == (None, 0)


def test_process_bench_by_hand() -> None:
    labels = [[1, 1, 0, 0], [1, 0, 1], [0.0], [1, 1], [1, 0.5], [1.0]]
    scores = [[0.9, 0.6, 0.4, 0.9], [0.4, 0.4, 0.9], [0.2], [0.9, 0.5], [0.8, 0.1], [0.9]]
    # first errors 2, 1, 0 and none three times; found 2, 0, 0 and none, 1, none
    found = process_bench(scores, labels)
    assert found.error_accuracy == pytest.approx(2 / 3)
    assert found.correct_accuracy == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(2 / 3)
    assert process_bench([[0.9]], [[1.0]]) == (None, None, 1.0)
    assert process_bench([[0.9], [0.1]], [[0.0], [1.0]]).f1 == 0.0
    assert first_error([0.5, 0.4]) == 1


def test_reliability_adds_up_to_the_calibration_error() -> None:
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import accuracy_score

    rng = np.random.default_rng(2)
    p, y = rng.random(500), (rng.random(500) < 0.4).astype(float)
    bins = reliability(p.tolist(), y.tolist())
    gap = sum(abs(b.predicted - b.observed) * b.size for b in bins) / 500
    assert gap == pytest.approx(expected_calibration_error(p.tolist(), y.tolist()))
    observed, predicted = calibration_curve(y, p, n_bins=10)
    assert [b.observed for b in bins] == pytest.approx(observed.tolist())
    assert [b.predicted for b in bins] == pytest.approx(predicted.tolist())
    assert step_accuracy(p.tolist(), y.tolist()) == pytest.approx(accuracy_score(y, p >= 0.5))


def test_features_are_weighed_as_scikit_learn_weighs_them() -> None:
    rng = np.random.default_rng(3)
    columns = rng.normal(size=(4000, 3))
    labels = rng.random(4000) < 1 / (1 + np.exp(-(columns @ [0.7, -1.0, 2.0] + 0.4)))
    ours = fit_platt(columns[:, 0].tolist(), labels.astype(float).tolist(), columns[:, 1:].tolist())
    theirs = by_scikit_learn(columns, labels.astype(float))
    assert (ours.scale, *ours.weights) == pytest.approx(tuple(theirs.coef_[0]), abs=2e-3)
    assert ours.bias == pytest.approx(theirs.intercept_[0], abs=2e-3)
    assert ours.apply(1.0, (2.0, 3.0)) == pytest.approx(
        ours.scale + ours.bias + 2 * ours.weights[0] + 3 * ours.weights[1]
    )
