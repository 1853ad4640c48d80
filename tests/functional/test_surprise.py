"""Features of how surprising a chain was, against sums by hand."""

from __future__ import annotations

import pytest

from o1kit.functional.surprise import surprise, weighed


def test_features_are_scaled_mean_least_and_sum_so_far() -> None:
    found = surprise([[-0.1, -0.3], [None, -0.2], []])
    assert found[0] == pytest.approx((10 * -0.2, 0.5 * -0.3, 0.5 * -0.4))
    assert found[1] == pytest.approx((10 * -0.2, 0.5 * -0.3, 0.5 * -0.6)), "a token that was put in does not count"
    assert found[2] == found[1], "a step without tokens changes nothing"


def test_a_token_that_is_all_but_impossible_counts_as_six_nats() -> None:
    ((mean, least, total),) = surprise([[-40.0]])
    assert (mean, least, total) == (-400.0, -3.0, -5.0)


def test_nothing_was_drawn() -> None:
    assert surprise([[None, None]]) == [(0.0, 0.0, 0.0)]


def test_later_steps_change_nothing() -> None:
    steps = [[-0.5], [-1.0, -0.1], [-2.0]]
    assert [surprise(steps[: n + 1])[n] for n in range(3)] == surprise(steps)


def test_weights() -> None:
    assert weighed((-1.0, -2.0, -4.0), [0.5, 1.0, 0.25]) == -3.5
