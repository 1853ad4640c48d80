"""When samples can be spared: against brute force, closed forms and SciPy."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o1kit.functional.stopping import (
    agreement,
    best_is_settled,
    lead_probability,
    regularized_beta,
    score_is_reached,
    vote_is_settled,
)
from o1kit.functional.voting import best, weighted_vote

VOTES = [("a", 1.0), ("b", 1.0), (None, 1.0)]
SCORED = [*VOTES, ("a", 0.0), ("a", 0.5), ("b", 0.25)]


@pytest.mark.parametrize(("ballots", "drawn", "left"), [(VOTES, n, 4 - n) for n in range(5)] + [(SCORED, 2, 2)])
def test_a_vote_is_settled_when_nothing_that_may_follow_changes_it(ballots: list[tuple], drawn: int, left: int) -> None:
    """Every start of so many samples, with everything that may follow it, an answer not seen yet among it."""
    later = [*ballots, ("new", 1.0)]
    settled = 0
    for start in product(ballots, repeat=drawn):
        answers, weights = [a for a, _ in start], [w for _, w in start]
        outcomes = {
            weighted_vote(answers + [a for a, _ in rest], weights + [w for _, w in rest])
            for rest in product(later, repeat=left)
        }
        assert vote_is_settled(answers, weights, left) == (len(outcomes) == 1), start
        settled += len(outcomes) == 1
    assert settled or drawn < 2


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.floats(0, 1)), min_size=1, max_size=12), st.data())
def test_a_settled_vote_stays_as_it_is_with_any_weights(ballots: list[tuple[str | None, float]], data: object) -> None:
    """In floating point too: what comes after the first settled moment never changes the outcome."""
    answers, weights = [a for a, _ in ballots], [w for _, w in ballots]
    whole = weighted_vote(answers, weights)
    for n in range(len(ballots) + 1):
        if vote_is_settled(answers[:n], weights[:n], len(ballots) - n):
            assert weighted_vote(answers[:n], weights[:n]) == whole
    assert vote_is_settled(answers, weights, 0)


def test_rounding_does_not_settle_a_vote_too_early() -> None:
    """0.03 + 1 + 1 + 1 is more than 0.03 + 3 in floating point: the bound must be added up as the vote will be."""
    answers, weights = ["b", "a", "a", "a", "a"], [0.03, 0.03, 1.0, 1.0, 1.0]
    assert 0.03 + 1.0 + 1.0 + 1.0 > 0.03 + 3.0
    assert weighted_vote(answers, weights) == "a"
    assert weighted_vote([*answers, "b", "b", "b"], [*weights, 1.0, 1.0, 1.0]) == "b", "a tie goes to the first seen"
    assert not vote_is_settled(answers, weights, 3)


@pytest.mark.parametrize(("first", "left"), [("a", 2), ("b", 2)])
def test_ties_go_to_the_first_seen(first: str, left: int) -> None:
    """Two votes ahead with two left: settled only if the leader was seen first."""
    other = "b" if first == "a" else "a"
    assert vote_is_settled([first, first, first, other], [1.0] * 4, left)
    assert not vote_is_settled([other, first, first, first], [1.0] * 4, left)


def test_the_best_is_settled_by_the_highest_score_there_is() -> None:
    assert best_is_settled(["a", "b"], [0.2, 1.0], 5)
    assert not best_is_settled(["a", None], [0.999, 1.0], 5), "a chain without an answer never wins"
    assert best_is_settled(["a"], [0.0], 0)
    values = [("a", 0.5), ("b", 1.0), (None, 1.0)]
    for start in product(values, repeat=2):
        answers, scores = [a for a, _ in start], [s for _, s in start]
        outcomes = {
            best([*answers, *[a for a, _ in x]], [*scores, *[s for _, s in x]])
            for x in product([*values, ("new", 1.0)], repeat=2)
        }
        assert best_is_settled(answers, scores, 2) == (len(outcomes) == 1)


def test_a_score_is_reached_by_an_answer_only() -> None:
    assert score_is_reached(["a", "b"], [0.2, 0.7], 0.7)
    assert not score_is_reached(["a", None], [0.69, 1.0], 0.7)
    assert not score_is_reached([], [], 0.1)


def test_agreement_is_the_largest_share() -> None:
    assert agreement(["a"] * 5, [1.0] * 5) == 1
    assert agreement(["a", "a", "a", "a", None], [1.0] * 5) == 0.8
    assert agreement(["a", "a", "b"], [0.25, 0.25, 1.5]) == 0.75
    assert agreement(["a"] * 5, [0.1] * 5) == 1, "sums in one order have one rounding"
    assert agreement([None, None], [1.0, 1.0]) == agreement([], []) == agreement(["a"], [0.0]) == 0


@pytest.mark.parametrize("first", range(0, 12, 3))
@pytest.mark.parametrize("second", range(0, 5, 2))
def test_the_posterior_of_counts_is_a_binomial_tail(first: int, second: int) -> None:
    """P(Beta(v1 + 1, v2 + 1) > 1/2) = P(at least v2 + 1 of v1 + v2 + 1 fair coins show heads)."""
    top, low = max(first, second), min(first, second)
    n = top + low + 1
    expected = sum(math.comb(n, k) for k in range(low + 1, n + 1)) / 2**n
    answers = ["a"] * first + [None] + ["b"] * second
    assert lead_probability(answers, [1.0] * len(answers)) == pytest.approx(expected, rel=1e-12)


def test_the_posterior_looks_at_the_two_largest_totals() -> None:
    assert lead_probability([], []) == 0.5
    assert lead_probability(["a"] * 4, [1.0] * 4) == pytest.approx(0.96875), "four of four: 1 - 2^-5"
    three = lead_probability(["c", "a", "b", "a", "a"], [1.0] * 5)
    assert three == pytest.approx(lead_probability(["a", "b", "a", "a"], [1.0] * 4))
    half = lead_probability(["a", "a"], [0.5, 0.5])
    assert half == pytest.approx(0.75), "two votes of a half are one vote"


@given(st.floats(0, 1), st.floats(0.1, 500), st.floats(0.1, 500))
@settings(max_examples=150, deadline=None)
def test_the_incomplete_beta_function_is_scipys(x: float, a: float, b: float) -> None:
    special = pytest.importorskip("scipy.special")
    assert regularized_beta(x, a, b) == pytest.approx(float(special.betainc(a, b, x)), rel=1e-9, abs=1e-14)


def test_the_incomplete_beta_function_has_its_bounds() -> None:
    assert regularized_beta(0.3, 1, 1) == pytest.approx(0.3)
    assert regularized_beta(0.5, 2, 3) == pytest.approx(11 / 16), "6x^2 - 8x^3 + 3x^4"
    for x, a, b in ((-0.1, 1, 1), (1.1, 1, 1), (0.5, 0, 1), (0.5, 1, -1)):
        with pytest.raises(ValueError, match="positive a and b"):
            regularized_beta(x, a, b)
