"""Beam search and DVTS on a real model: what is kept, what it costs, and that every option counts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from o1kit.engines.policy import LanguagePolicy
from o1kit.functional.aggregation import aggregate
from o1kit.rewards.prm import PrmReward
from o1kit.search.beam import Beam
from o1kit.search.config import BeamConfig
from o1kit.types import Score, SearchResult, State
from tests.tiny import engine_of, policy_of, problem, tiny

MODEL, TEMPLATE = tiny(context=160)
JUDGE = tiny(seed=7, head=True, context=160)[0]
PRM = PrmReward(engine_of(JUDGE, TEMPLATE))
BASE = {"num_beams": 2, "num_children": 3, "max_steps": 4}


def run(policy: Any = None, reward: Any = PRM, key: int = 1, **changes: Any) -> SearchResult:
    policy = policy or policy_of(MODEL, TEMPLATE)
    search = Beam(BeamConfig(kind="beam", **{**BASE, **changes}))
    return asyncio.run(search.run(policy.start(problem("1+1=?")), policy=policy, reward=reward, key=key))


def plain(result: SearchResult) -> list[tuple[int | None, str, int, bool]]:
    """The tree without its values, whose last bits depend on what was computed together."""
    return [(node.parent, node.text, node.visits, node.terminal) for node in result.tree]


def shape(result: SearchResult) -> Any:
    return result.tree, result.answers, [t.state.token_ids for t in result.trajectories]


@pytest.mark.parametrize("key", range(4))
def test_the_best_of_each_round_are_kept(key: int) -> None:
    """Recomputed from the tree: in every round the kept nodes score at least what the others do."""
    result = run(key=key)
    depth = {0: 0}
    by_depth: dict[int, list[Any]] = {}
    for node in result.tree[1:]:
        depth[node.id] = depth[node.parent or 0] + 1
        by_depth.setdefault(depth[node.id], []).append(node)
    places = 2
    for level in range(1, 5):
        nodes = by_depth.get(level, [])
        kept = [n for n in nodes if n.visits]
        assert len(kept) == min(places, len(nodes))
        out = [n.value for n in nodes if not n.visits]
        assert not out or min(n.value for n in kept) >= max(out)
        places -= sum(n.terminal for n in kept)


def test_scores_are_the_reward_models_own() -> None:
    for trajectory in run(aggregate="prod").trajectories:
        expected = asyncio.run(PRM.step_scores(trajectory.state))
        assert trajectory.step_scores == pytest.approx(expected, abs=1e-5)
        assert trajectory.score == pytest.approx(aggregate("prod", expected), abs=1e-5)


def test_a_chain_that_is_best_at_every_step_wins() -> None:
    """A reward that counts a character: the chain found has at least as many as independent samples have on average."""

    class Ones:
        async def score(self, state: State) -> Score:
            text = state.actions[-1].text
            return Score(text.count("1") / max(len(text), 1), "ones")

        async def step_scores(self, state: State) -> tuple[float, ...]:
            return tuple(a.text.count("1") / max(len(a.text), 1) for a in state.actions)

    def share(result: SearchResult) -> float:
        return max(t.score for t in result.trajectories)

    searched = [share(run(reward=Ones(), key=key, aggregate="mean", num_children=6)) for key in range(6)]
    lone = [share(run(reward=Ones(), key=key, aggregate="mean", num_beams=1, num_children=1)) for key in range(6)]
    assert sum(searched) > sum(lone)


def test_usage_is_what_the_engine_generated() -> None:
    engine = engine_of(MODEL, TEMPLATE)
    result = run(LanguagePolicy(engine, TEMPLATE, max_tokens=24), num_subtrees=2)
    assert result.usage.generated == engine.usage.generated > 0


@pytest.mark.parametrize("limit", [1, 5])
def test_trees_do_not_depend_on_batching(limit: int) -> None:
    engine = engine_of(MODEL, TEMPLATE, max_batch=limit)
    narrow = run(LanguagePolicy(engine, TEMPLATE, max_tokens=24), num_subtrees=3)
    wide = run(num_subtrees=3, policy=LanguagePolicy(engine_of(MODEL, TEMPLATE), TEMPLATE, max_tokens=24))
    assert plain(narrow) == plain(wide)


def test_subtrees_do_not_see_each_other() -> None:
    """The first of several subtrees is the search with one subtree."""
    one, several = run(num_subtrees=1), run(num_subtrees=3)
    assert plain(several)[: len(one.tree)] == plain(one)
    roots = [node for node in several.tree if node.parent == 0]
    assert len(several.trajectories) == 3 * 2
    assert len({node.text for node in roots if node.visits}) > 2


@pytest.mark.parametrize(
    "change",
    [
        {"num_beams": 3},
        {"num_children": 5},
        {"num_subtrees": 2},
        {"max_steps": 2},
        {"select": "majority"},
        {"aggregate": "last"},
        {"aggregate": "max"},
        {"temperature": 0.5},
        {"top_k": 2},
        {"top_p": 0.3},
        {"min_p": 0.3},
        {"token_budget": 40},
        {"accept": 0.9},
    ],
)
def test_every_option_changes_what_is_found(change: dict[str, Any]) -> None:
    assert any(shape(run(key=key, **change)) != shape(run(key=key)) for key in range(8))


class Tens:
    """Steps that go on are worth 1 if they hold `1`, all others 0.6."""

    async def score(self, state: State) -> Score:
        return Score((await self.step_scores(state))[-1], "tens")

    async def step_scores(self, state: State) -> tuple[float, ...]:
        going = [action.completion.finish == "step" for action in state.actions]
        return tuple(1.0 if "1" in a.text and on else 0.6 for a, on in zip(state.actions, going, strict=True))


@pytest.mark.parametrize("beams", [1, 2])
def test_steps_are_sampled_until_one_is_good_enough(beams: int) -> None:
    """Of each chain's ways on only the last drawn may be good enough, at the root as many as there are beams."""
    deeper = refused = 0
    for key in range(12):
        result = run(reward=Tens(), key=key, num_beams=beams, num_children=20, accept=0.9)
        worth, children, depth = {0: 1.0}, dict[int, list[Any]](), depths(result)
        for node in result.tree[1:]:
            worth[node.id] = node.value
            children.setdefault(node.parent or 0, []).append(node)
        for parent in (i for i in children if depth[i] < BASE["max_steps"]):
            wanted = beams if parent == 0 else 1
            good = [node.value >= 0.9 * worth[parent] for node in children[parent]]
            assert sum(good) <= wanted
            assert good[-1] or sum(good) < wanted, "nothing is drawn after the one that sufficed"
            deeper += parent != 0
            refused += good.count(False)
    assert deeper and refused


def test_what_costs_little_is_accepted_at_once_and_what_is_hard_gets_the_samples() -> None:
    """Relative to what the chain was worth: once it is worth 0.6, further steps of 0.6 are good enough."""
    spent = {accept: run(reward=Tens(), num_beams=1, num_children=20, accept=accept).usage for accept in (0.5, 0.9)}
    lone = run(reward=Tens(), num_beams=1, num_children=1)
    assert spent[0.5].generated < spent[0.9].generated
    assert len(run(reward=Tens(), num_beams=1, num_children=20, accept=0.5).tree) == len(lone.tree)


def test_usage_and_trees_of_accepted_steps_do_not_depend_on_batching() -> None:
    found = []
    for limit in (1, 5, 64):
        engine = engine_of(MODEL, TEMPLATE, max_batch=limit)
        policy = LanguagePolicy(engine, TEMPLATE, max_tokens=24)
        result = run(policy, reward=Tens(), num_subtrees=2, num_children=6, accept=0.9)
        assert result.usage.generated == engine.usage.generated > 0
        found.append(plain(result))
    assert found[0] == found[1] == found[2]


def depths(result: SearchResult) -> list[int]:
    """The round in which each node was made; nodes come after their parents."""
    found = [0]
    for node in result.tree[1:]:
        found.append(found[node.parent or 0] + 1)
    return found


@pytest.mark.parametrize("subtrees", [1, 3])
@pytest.mark.parametrize("budget", [1, 80, 160, 100_000])
def test_no_round_begins_once_the_budget_is_spent(budget: int, subtrees: int) -> None:
    """A round may exceed it, and one completion, if nothing has ended; with room for all the search is the free one."""
    engine = engine_of(MODEL, TEMPLATE)
    policy = LanguagePolicy(engine, TEMPLATE, max_tokens=24)
    result = run(policy, num_subtrees=subtrees, token_budget=budget)
    assert result.usage.generated == engine.usage.generated
    assert result.trajectories and all(t.state.terminal for t in result.trajectories)
    assert set(result.answers) <= {t.answer for t in result.trajectories}
    # A round of a subtree makes at most 2 x 3 steps, a completion one chain, of at most 24 tokens each.
    assert result.usage.generated < budget + (subtrees * 6 + 1) * 24
    if budget == 100_000:
        assert plain(result) == plain(run(num_subtrees=subtrees))
    if budget == 1:
        assert sum(depth > 1 for depth in depths(result)) <= 1, "one round, and at most one chain completed"


@pytest.mark.parametrize(("subtrees", "beams"), [(1, 2), (2, 1)])
def test_with_little_left_the_best_chain_is_completed(subtrees: int, beams: int) -> None:
    """A budget of one token, and no chain that ends in the first round: the one with the highest score goes on."""
    seen = 0
    for key in (key for key in range(20) if seen < 2):
        result = run(key=key, num_beams=beams, num_subtrees=subtrees, token_budget=1)
        first = [node for node, depth in zip(result.tree, depths(result), strict=True) if depth == 1]
        if any(node.terminal and node.visits for node in first):
            continue
        (trajectory,) = result.trajectories
        best = max((node for node in first if node.visits), key=lambda node: node.value)
        assert trajectory.state.text.startswith(best.text)
        seen += 1
    assert seen == 2


def test_subtrees_share_the_budget_evenly() -> None:
    """Each is the search it would be with its part alone, so none can use up what others were to get."""
    stopped = 0
    for key in range(2):
        one, several = run(key=key, token_budget=100), run(key=key, num_subtrees=3, token_budget=300)
        expected = plain(one)
        if sum(node.terminal and node.visits > 0 for node in one.tree) == 1 and one.tree[-1].terminal:
            expected.pop()  # completed for want of any other: among several subtrees it may not be needed
        assert plain(several)[: len(expected)] == expected
        assert several.tree[len(expected)].parent == 0, "the next subtree begins here"
        stopped += plain(one) != plain(run(key=key))
    assert stopped, "some of them were cut short"


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({}, "beam 2x3 (best)"),
        ({"aggregate": "prod"}, "beam 2x3 (best) (prod)"),
        ({"accept": 0.8, "aggregate": "last"}, "beam 2x3 (best) (accept 0.8, last)"),
        ({"num_subtrees": 2, "token_budget": 90, "temperature": 0.5}, "dvts 2x2x3 (best) (90 tokens, T=0.5)"),
    ],
)
def test_titles(change: dict[str, Any], title: str) -> None:
    assert BeamConfig(kind="beam", **{**BASE, **change}).title == title


def test_a_search_is_a_function_of_its_key() -> None:
    assert shape(run()) == shape(run()) != shape(run(key=2))


def test_it_needs_a_reward() -> None:
    with pytest.raises(ValueError, match="judges steps"):
        run(reward=None)
