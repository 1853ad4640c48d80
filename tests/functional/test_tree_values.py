"""Values of a tree against sums by hand and against the group mean."""

from __future__ import annotations

import pytest

from o1kit.functional.tree_values import tree_values

CHAINS = ["ab", "ac", "d"]


def test_without_strength_a_prefix_has_the_mean_of_its_chains() -> None:
    assert tree_values(CHAINS, [1.0, 0.0, 0.0], [1.0, 1.0, 1.0], 0.0) == [[1 / 3, 0.5], [1 / 3, 0.5], [1 / 3]]


def test_weights_count_chains_differently() -> None:
    values = tree_values(CHAINS, [1.0, 0.0, 0.0], [3.0, 1.0, 4.0], 0.0)
    assert values == [[3 / 8, 0.75], [3 / 8, 0.75], [3 / 8]]


def test_longer_prefixes_are_shrunk_to_shorter_ones() -> None:
    """Root 1/3; below `a` (2 * 1/2 + 2 * 1/3) / 4 = 5/12."""
    values = tree_values(CHAINS, [1.0, 0.0, 0.0], [1.0, 1.0, 1.0], 2.0)
    assert values[0] == pytest.approx([1 / 3, 5 / 12])


def test_a_start_value_counts_like_chains() -> None:
    assert tree_values(["a"], [1.0], [1.0], 3.0, start=0.0) == [[0.25]]


def test_independent_chains_get_the_group_mean_first() -> None:
    outcomes = [1.0, 0.0, 0.0, 1.0, 1.0]
    values = tree_values([[str(i), "x"] for i in range(5)], outcomes, [1.0] * 5, 1e9)
    assert all(line == pytest.approx([0.6, 0.6], abs=1e-6) for line in values)
