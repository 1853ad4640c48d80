"""Features of how surprising a chain was, against products by hand."""

from __future__ import annotations

import math

import pytest

from o1kit.functional.surprise import surprise, weighed


def test_features_are_least_geometric_mean_and_product_of_the_probabilities_so_far() -> None:
    found = surprise([[math.log(0.5), math.log(0.8)], [None, math.log(0.25)], []])
    assert found[0] == pytest.approx((4 * 0.5, 4 * 0.4**0.5, 4 * 0.4))
    assert found[1] == pytest.approx((4 * 0.25, 4 * 0.1 ** (1 / 3), 4 * 0.1)), "what was put in does not count"
    assert found[2] == found[1], "a step without tokens changes nothing"


def test_an_all_but_impossible_token_is_no_worse_than_a_very_improbable_one() -> None:
    one, other = surprise([[-40.0]])[0], surprise([[-12.0]])[0]
    assert max(abs(a - b) for a, b in zip(one, other, strict=True)) < 1e-4


def test_where_nothing_was_drawn_nothing_surprised() -> None:
    assert surprise([[None, None]]) == [(4.0, 4.0, 4.0)]


def test_later_steps_change_nothing() -> None:
    steps = [[-0.5], [-1.0, -0.1], [-2.0]]
    assert [surprise(steps[: n + 1])[n] for n in range(3)] == surprise(steps)


def test_weights() -> None:
    assert weighed((1.0, 2.0, 4.0), [0.5, 1.0, 0.25]) == 3.5
