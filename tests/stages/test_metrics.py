"""Figures of a search tree against a tree worked out by hand."""

from __future__ import annotations

import math

import pytest

from o1kit.stages.ppo.metrics import branching, root_entropy, search_metrics
from o1kit.types import SearchResult, TreeNode, Usage


def node(name: int, parent: int | None, visits: int, prior: float = 1.0) -> TreeNode:
    return TreeNode(name, parent, "", visits, 0.25, prior, False)


TREE = (node(0, None, 4), node(1, 0, 3, 0.5), node(2, 0, 1, 0.5), node(3, 1, 0))


def test_branching_counts_nodes_with_children() -> None:
    assert branching(TREE) == 1.5


def test_entropy_of_the_roots_visits() -> None:
    assert root_entropy(TREE) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    unvisited = (node(0, None, 1), node(1, 0, 0, 0.5), node(2, 0, 0, 0.5))
    assert root_entropy(unvisited) == pytest.approx(math.log(2))


def test_searches_without_a_tree_have_a_depth_only() -> None:
    assert search_metrics([SearchResult((), (), Usage())]) == {"search/depth": 0.0}
    assert search_metrics([SearchResult((), (), Usage(), TREE)])["search/value_mean"] == 0.25
