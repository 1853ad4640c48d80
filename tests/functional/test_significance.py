"""Paired tests against scipy, examples by hand, and brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from o1kit.functional.significance import hierarchical_interval, holm, paired, sign_test
from o1kit.functional.statistics import bootstrap_interval


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (1, 0), (5, 5), (9, 1), (3, 17), (260, 200)])
def test_the_sign_test_is_scipys(better: int, worse: int) -> None:
    expected = binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert sign_test(better, worse) == pytest.approx(expected)
    assert sign_test(worse, better) == pytest.approx(expected)


def test_holm_by_hand() -> None:
    """.01 x 4 = .04; .02 x 3 = .06; .03 x 2 = .06; .9 x 1."""
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_pairs_by_hand() -> None:
    found = paired([1, 1, 1, 0, 0.5], [0, 0, 1, 1, 0.5])
    assert (found.better, found.worse) == (2, 1)
    assert found.difference.mean == pytest.approx(0.2)
    assert found.difference.low < 0 < found.difference.high
    assert found.p == 1.0
    with pytest.raises(ValueError, match="same problems"):
        paired([1.0], [])


def test_what_is_hard_for_both_does_not_widen_the_interval() -> None:
    """One method is better by a tenth, give or take, on problems of very different difficulty."""
    second, more = np.linspace(0, 0.9, 50), np.tile([0.09, 0.1, 0.11], 17)[:50]
    found = paired(list(second + more), list(second)).difference
    assert found.low == pytest.approx(0.1, abs=0.005) and found.high == pytest.approx(0.1, abs=0.005)
    assert bootstrap_interval(list(second)).high - bootstrap_interval(list(second)).low > 0.1


def test_pairs_that_all_agree_leave_three_in_their_number_open() -> None:
    agreed = paired([1.0, 0.0] * 150, [1.0, 0.0] * 150)
    assert (agreed.better, agreed.worse, agreed.p) == (0, 0, 1.0)
    assert agreed.difference == pytest.approx((0.0, -3 / 300, 3 / 300), rel=0.01)
    always = paired([1.0] * 20, [0.0] * 20).difference
    assert always == pytest.approx((1.0, 1 - 2 * (1 - 0.05 ** (1 / 20)), 1.0))
    assert paired([0.3], [0.3]).difference == pytest.approx((0.0, -0.95, 0.95))
    assert paired([0.1 + 0.2] * 9, [0.3] * 9).difference.low < -0.2  # but for the last bits, they agree


@given(n=st.integers(1, 400), difference=st.floats(-1, 1), other=st.floats(-1, 1), share=st.floats(0, 1, width=32))
def test_an_interval_of_equal_differences_covers_all_that_they_leave_possible(
    n: int, difference: float, other: float, share: float
) -> None:
    """Whatever a share of all pairs is like: the mean is inside, or such a sample has a chance of 5 % at most."""
    second = [max(-difference, 0.0)] * n
    found = paired([value + difference for value in second], second).difference
    mean = difference + share * (other - difference)
    inside = found.low - 1e-9 <= mean <= found.high + 1e-9
    assert inside or (1 - share) ** n <= 0.05 + 1e-9
    assert -1 - 1e-9 <= found.low <= found.mean <= found.high <= 1 + 1e-9
    assert 0 < found.high - found.low <= 2 * 3 / n + 1e-9


def test_one_seed_is_the_plain_bootstrap() -> None:
    values = list(np.random.default_rng(0).uniform(size=30))
    assert hierarchical_interval([values]) == bootstrap_interval(values)
    assert hierarchical_interval([]) == bootstrap_interval([])
    right = [[1.0] * 20] * 3
    assert hierarchical_interval(right) == bootstrap_interval(right[0]), "three seeds are not more problems"
    assert hierarchical_interval(right).low < 1.0


def test_the_hierarchical_bootstrap_is_that_of_all_resamples() -> None:
    """Two problems and two seeds: all 2^2 x (2^2)^2 resamples can be listed."""
    values = [[0.0, 0.3], [1.0, 0.4]]
    means = []
    for problems in product(range(2), repeat=2):
        for seeds in product(range(2), repeat=4):
            means.append(np.mean([values[s][p] for p, s in zip(np.repeat(problems, 2), seeds, strict=True)]))
    found = hierarchical_interval(values, resamples=40_000)
    assert found.mean == pytest.approx(np.mean(means))
    exact = np.quantile(means, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(tuple(exact), abs=0.05)


def test_seeds_that_differ_widen_the_interval_and_more_of_them_narrow_it() -> None:
    generator = np.random.default_rng(1)
    luck = (generator.uniform(size=(16, 60)) < 0.5).astype(float)
    widths = [np.ptp(hierarchical_interval(luck[:n].tolist())[1:]) for n in (1, 4, 16)]
    assert widths[0] > widths[1] > widths[2]
    with pytest.raises(ValueError, match="same problems"):
        hierarchical_interval([[1.0], [1.0, 0.0]])
