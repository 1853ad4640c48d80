"""REBASE: the conformance kit, and its shares and budgets against numbers worked out by hand."""

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest
from o1kit_rebase.config import RebaseConfig
from o1kit_rebase.search import Rebase, balanced

from o1kit.recipe.loader import load_recipe
from o1kit.rewards.prm import PrmReward
from o1kit.testing import conformance
from o1kit.testing.lab import PROBLEMS, Lab
from o1kit.types import SearchResult

TestRebase = conformance.search("rebase", {"num_samples": 3, "max_steps": 3})


def found(**options: Any) -> SearchResult:
    config = RebaseConfig.model_validate({"kind": "rebase", **options})
    lab = Lab()
    policy, reward = lab.policy(), PrmReward(lab.engine("judge"))
    return asyncio.run(Rebase(config).run(policy.start(PROBLEMS[0]), policy=policy, reward=reward, key=3))


def test_shares_follow_the_softmax_and_add_up() -> None:
    # e^1 : e^0 = 0.731 : 0.269, of 10 samples 7.31 and 2.69: the larger remainder is rounded up.
    assert balanced([1.0, 0.0], 10, 1.0) == [7, 3]
    # At temperature 0.1 the same rewards are e^10 apart.
    assert balanced([1.0, 0.0], 10, 0.1) == [10, 0]
    assert balanced([0.5, 0.5, 0.5], 8, 0.2) == [3, 3, 2]
    assert balanced([0.2, 0.9], 0, 0.2) == [0, 0] and balanced([], 4, 0.2) == []
    for total in range(1, 30):
        rewards = [0.1, 0.35, 0.8, 0.82]
        exact = [total * math.exp(r / 0.3) / sum(math.exp(x / 0.3) for x in rewards) for r in rewards]
        counts = balanced(rewards, total, 0.3)
        assert sum(counts) == total and all(abs(a - b) < 1 for a, b in zip(counts, exact, strict=True))


@pytest.mark.parametrize("num_samples", [1, 4, 9])
def test_as_many_chains_end_as_were_wanted(num_samples: int) -> None:
    result = found(num_samples=num_samples)
    assert len(result.trajectories) == num_samples
    assert all(trajectory.state.terminal for trajectory in result.trajectories)


def test_each_round_has_the_samples_that_are_left() -> None:
    result = found(num_samples=6)
    depth = {0: 0}
    for node in result.tree[1:]:
        assert node.parent is not None
        depth[node.id] = depth[node.parent] + 1
    ended = 0
    for level in range(1, max(depth.values()) + 1):
        nodes = [node for node in result.tree if depth[node.id] == level]
        assert len(nodes) == 6 - ended
        ended += sum(node.terminal for node in nodes)
    assert ended == 6


def test_a_token_budget_stops_rounds_and_one_chain_always_ends() -> None:
    free = found(num_samples=6).usage.generated
    tight = found(num_samples=6, token_budget=1)
    assert tight.usage.generated < free and tight.trajectories and all(t.state.terminal for t in tight.trajectories)


def test_what_is_too_deep_is_completed() -> None:
    result = found(num_samples=4, max_steps=1)
    assert len(result.trajectories) == 4 and all(t.state.terminal for t in result.trajectories)


def test_the_example_recipe_is_valid() -> None:
    assert load_recipe(Path(__file__).parents[1] / "recipe.yaml").name == "o1kit-rebase"
