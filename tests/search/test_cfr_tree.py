"""Regret matching on planted trees, whose values are known, and on a real model."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from typing import Any

import pytest

from o1kit.engines.policy import LanguagePolicy
from o1kit.functional.regret import Rule
from o1kit.rewards.prm import PrmReward
from o1kit.search.cfr.config import RegretTreeConfig
from o1kit.search.cfr.search import CfrSearch
from o1kit.search.cfr.tree import RegretTree
from o1kit.search.config import CfrConfig
from o1kit.types import SearchResult
from tests.search.planted import Leaves, PlantedTree
from tests.tiny import engine_of, policy_of, problem, tiny

MODEL, TEMPLATE = tiny(context=160)
JUDGE = tiny(seed=7, head=True, context=160)[0]
RULES: list[Rule] = ["cfr", "cfr+", "linear", "discounted"]
BANDIT = {"a": 0.3, "b": 0.6}
TREE = {"".join(steps): 0.3 for steps in itertools.product("ab", repeat=3)} | {"aba": 0.9, "bbb": 0.6}


def search(token_budget: int | None = None, temperature: float = 1.0, **mode: Any) -> CfrSearch:
    """Pure regret matching, unless the mode says otherwise."""
    mode = {"kind": "tree", "prior_weight": 0.0} | mode
    options = {"token_budget": token_budget, "temperature": temperature, "mode": mode}
    return CfrSearch(CfrConfig.model_validate({"kind": "cfr", **options}))


def planted(leaves: Leaves, key: int = 0, bias: float = 0.0, weights: Any = None, **mode: Any) -> SearchResult:
    tree = PlantedTree(leaves, weights, bias)
    return asyncio.run(search(**mode).run(tree.start(problem()), policy=tree, reward=tree, key=key))


def real(max_batch: int = 64, key: int = 1, text: str = "1+1=?", **mode: Any) -> SearchResult:
    policy = policy_of(MODEL, TEMPLATE, max_batch=max_batch)
    judge = PrmReward(engine_of(JUDGE, TEMPLATE, max_batch=max_batch))
    options = {"num_iterations": 6, "max_steps": 4} | mode
    return asyncio.run(search(**options).run(policy.start(problem(text)), policy=policy, reward=judge, key=key))


def mass(result: SearchResult) -> dict[str, float]:
    """The probability of every chain of the tree under the average strategy, recomputed from its nodes."""
    texts, reach = {0: ""}, {0: 1.0}
    for node in result.tree[1:]:
        assert node.parent is not None and node.avg_strategy is not None
        texts[node.id] = texts[node.parent] + node.text
        reach[node.id] = reach[node.parent] * node.avg_strategy
    return {texts[node.id]: reach[node.id] for node in result.tree if node.terminal}


# ---- what it converges to --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("baseline", ["judge", "none"])
def test_the_better_arm_is_found(rule: Rule, baseline: str) -> None:
    options = {"num_iterations": 400, "rule": rule, "baseline": baseline, "widening_k": 8.0, "widening_alpha": 0.0}
    assert mass(planted(BANDIT, **options))["b"] > 0.9


@pytest.mark.parametrize("rule", RULES)
def test_the_average_strategy_finds_the_best_chain(rule: Rule) -> None:
    """From wrong guesses (bias), and more surely the more walks there are."""
    options = {"rule": rule, "bias": 0.2, "widening_k": 4.0, "widening_alpha": 0.3}
    few, many = (
        statistics.fmean(mass(planted(TREE, key=key, num_iterations=n, **options)).get("aba", 0.0) for key in range(3))
        for n in (8, 400)
    )
    assert few < many
    assert many > 0.9


def test_the_answer_is_the_best_chains() -> None:
    result = planted(TREE, num_iterations=200, widening_k=4.0)
    assert result.answers == ("aba",)
    assert max(mass(result), key=mass(result).__getitem__) == "aba"


def test_without_a_choice_nothing_is_regretted() -> None:
    result = planted({"aaa": 0.4}, num_iterations=5)
    assert [node.avg_strategy for node in result.tree] == [None, 1.0, 1.0, 1.0]
    assert [node.regret for node in result.tree[1:]] == pytest.approx([0.0] * 3)
    assert result.stats["strategy_entropy"] == result.stats["regret_mean_positive"] == 0


def test_the_policys_prior_can_be_all_there_is() -> None:
    """With prior_weight 1 the average strategy is the share of samples, whatever the values say."""
    weights = {"a": 3.0, "b": 1.0}
    options = {"weights": weights, "widening_k": 400.0, "widening_alpha": 0.0, "num_iterations": 3}
    result = planted(BANDIT, prior_weight=1.0, **options)
    for node in result.tree[1:]:
        assert node.avg_strategy == pytest.approx(node.prior)
    assert mass(result)["a"] == pytest.approx(0.75, abs=0.08)


# ---- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", ["judge", "none"])
def test_regrets_of_single_walks_are_unbiased(baseline: str) -> None:
    """Their mean over walks is what exact enumeration gives for the uniform strategy: r(a) = v(a) - v."""
    leaves = {"aa": 0.1, "ab": 0.5, "ba": 0.9, "bb": 0.3}
    mode = {"kind": "tree", "rule": "cfr", "baseline": baseline, "widening_k": 12.0, "prior_weight": 0.0}
    config = CfrConfig.model_validate({"kind": "cfr", "mode": mode})
    exact = {"": {"a": -0.15, "b": 0.15}, "a": {"a": -0.2, "b": 0.2}, "b": {"a": 0.3, "b": -0.3}}
    found: dict[tuple[str, str], list[float]] = {(at, a): [] for at, line in exact.items() for a in line}
    played: dict[str, list[float]] = {at: [] for at in exact}
    walks = 600
    assert isinstance(config.mode, RegretTreeConfig)
    for key in range(walks):
        game = PlantedTree(leaves, bias=0.3)
        tree = RegretTree(config, config.mode, game.start(problem()), game, game, key)
        asyncio.run(tree.walk(1))
        told = {
            (node.state.text, child.state.actions[-1].text): regret
            for node, table in zip(tree.nodes, tree.tables, strict=True)
            for child, regret in zip(node.children, table.regrets, strict=True)
        }
        for name, numbers in found.items():
            numbers.append(told.get(name, 0.0))  # no walk, no regret
        weights = {node.state.text: sum(table.strategies) for node, table in zip(tree.nodes, tree.tables, strict=True)}
        for at, line in played.items():
            line.append(weights.get(at, 0.0))
    for (at, action), numbers in found.items():
        error = statistics.stdev(numbers) / walks**0.5
        assert abs(statistics.fmean(numbers) - exact[at][action]) < 4.5 * error
    for at, reach in (("", 1.0), ("a", 0.5), ("b", 0.5)):  # the average weights a strategy with the chance of its node
        assert statistics.fmean(played[at]) == pytest.approx(reach, abs=4.5 * 0.5 / walks**0.5)


def test_one_walk_by_hand() -> None:
    """Two arms worth .3 and .6 with right guesses: v = .45, regrets -.15 and .15 whichever was taken."""
    result = planted(BANDIT, num_iterations=1, widening_k=20.0, rule="cfr")
    assert {node.text: node.regret for node in result.tree[1:]} == pytest.approx({"a": -0.15, "b": 0.15})
    assert result.stats["regret_mean_positive"] == pytest.approx(0.075)
    assert {node.text: node.avg_strategy for node in result.tree[1:]} == {"a": 0.5, "b": 0.5}
    assert result.stats["strategy_entropy"] == pytest.approx(0.693147, abs=1e-6)


def test_cfr_plus_keeps_no_negative_regret() -> None:
    result = planted(TREE, num_iterations=50, rule="cfr+", prior_regret=2.0, bias=-0.2)
    assert min(node.regret for node in result.tree[1:] if node.regret is not None) >= 0


def test_new_actions_begin_with_the_regret_of_their_prior() -> None:
    """kappa (prior - 1 / actions); a walk with right guesses of equal arms adds nothing."""
    options = {"num_iterations": 1, "widening_k": 40.0, "rule": "cfr", "weights": {"a": 4.0}}
    result = planted({"a": 0.5, "b": 0.5}, prior_regret=3.0, **options)
    for node in result.tree[1:]:
        assert node.regret == pytest.approx(3 * (node.prior - 0.5))


@pytest.mark.parametrize(("k", "alpha"), [(1.0, 0.5), (2.0, 0.5), (3.0, 0.0)])
def test_nodes_widen_with_their_visits(k: float, alpha: float) -> None:
    """No node has more samples than ceil(k n^alpha), those of the root are exactly so many."""
    tree = PlantedTree(TREE)
    one = search(num_iterations=16, widening_k=k, widening_alpha=alpha, walks_per_batch=1)
    result = asyncio.run(one.run(tree.start(problem()), policy=tree, reward=tree, key=0))
    drawn: dict[str, int] = {}
    for text, n in tree.calls:
        drawn[text] = drawn.get(text, 0) + n
    assert drawn[""] == round(k * 16**alpha)
    assert len(set(tree.keys)) == len(tree.keys), "no noise is used twice"
    assert result.usage.generated == sum(drawn.values()) == tree.generated
    assert result.tree[0].visits == 16


def test_a_cut_off_walk_goes_one_step_further_than_those_before() -> None:
    result = planted(TREE, num_iterations=2, walk="cutoff", walks_per_batch=1, widening_k=1.0, widening_alpha=0.0)
    visited = [node for node in result.tree if node.visits]
    assert [node.visits for node in visited] == [2, 2, 1]
    whole = planted(TREE, num_iterations=2, walk="full", walks_per_batch=1, widening_k=1.0, widening_alpha=0.0)
    assert [node.visits for node in whole.tree] == [2, 2, 2, 2]


def test_what_was_guessed_and_what_came_out_are_in_the_tree() -> None:
    """A node's value is the mean utility of the walks through it; equal steps are one child."""
    result = planted(TREE, num_iterations=30)
    for node in result.tree:
        below = [child for child in result.tree if child.parent == node.id]
        assert 0 <= node.value <= 1
        if below:
            assert sum(child.visits for child in below) == node.visits
            assert sum(child.prior for child in below) == pytest.approx(1)
            assert sum(child.avg_strategy or 0 for child in below) == pytest.approx(1)
            assert len({child.text for child in below}) == len(below)
            assert node.visits * node.value == pytest.approx(sum(c.visits * c.value for c in below))


def test_an_answer_is_completed_where_no_walk_ended() -> None:
    tree = PlantedTree(TREE)
    one = search(num_iterations=1, walk="cutoff")
    result = asyncio.run(one.run(tree.start(problem()), policy=tree, reward=tree, key=0))
    assert result.usage.generated == tree.generated == 2 + 2
    assert len(result.trajectories) == 1
    (chain,) = result.trajectories
    assert result.answers == (chain.answer,) == (chain.state.text,)
    assert len(chain.step_scores) == 3
    assert chain.visits == 0


@pytest.mark.parametrize(("select", "expected"), [("probability", "a"), ("weighted", "b")])
def test_how_the_average_strategy_decides(select: str, expected: str) -> None:
    """a is twice as likely, b three times as good."""
    options = {"prior_weight": 1.0, "weights": {"a": 2.0}, "widening_k": 90.0, "num_iterations": 1}
    assert planted({"a": 0.2, "b": 0.6}, select=select, **options).answers == (expected,)


# ---- a real model ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("walk", ["full", "cutoff"])
def test_trees_do_not_depend_on_batching(walk: str) -> None:
    def shape(limit: int) -> Any:
        return [(n.text, n.parent, n.visits, n.prior) for n in real(limit, walk=walk, num_iterations=10).tree]

    expected = shape(64)
    assert shape(1) == expected == shape(5)
    assert len(expected) > 6


def test_trees_do_not_depend_on_what_is_searched_together() -> None:
    policy, judge = policy_of(MODEL, TEMPLATE), PrmReward(engine_of(JUDGE, TEMPLATE))

    async def together() -> list[SearchResult]:
        one = search(num_iterations=4, max_steps=3)
        starts = [policy.start(problem(f"{i}+1=?")) for i in range(2)]
        return await asyncio.gather(*(one.run(s, policy=policy, reward=judge, key=1) for s in starts))

    for i, result in enumerate(asyncio.run(together())):
        alone = real(text=f"{i}+1=?", num_iterations=4, max_steps=3)
        assert [(n.text, n.parent, n.visits) for n in result.tree] == [(n.text, n.parent, n.visits) for n in alone.tree]


@pytest.mark.parametrize("options", [{}, {"walk": "cutoff", "num_iterations": 1}, {"token_budget": 20}])
def test_usage_is_what_the_engine_generated(options: dict[str, Any]) -> None:
    engine, judge = engine_of(MODEL, TEMPLATE), PrmReward(engine_of(JUDGE, TEMPLATE))
    policy = LanguagePolicy(engine, TEMPLATE, max_tokens=24)
    one = search(**({"num_iterations": 6, "max_steps": 4} | options))
    result = asyncio.run(one.run(policy.start(problem()), policy=policy, reward=judge, key=3))
    assert result.usage.generated == engine.usage.generated > 0
    assert all(chain.state.terminal for chain in result.trajectories)


def test_step_scores_are_those_of_the_chains() -> None:
    judge = PrmReward(engine_of(JUDGE, TEMPLATE))
    for chain in real().trajectories:
        assert chain.step_scores == pytest.approx(asyncio.run(judge.step_scores(chain.state)), abs=1e-5)


def test_a_budget_starts_nothing_new() -> None:
    """At most one level of steps comes after the budget was reached, and the walks that come first are the same."""
    tree = PlantedTree(TREE)
    one = search(num_iterations=100, token_budget=30)
    result = asyncio.run(one.run(tree.start(problem()), policy=tree, reward=tree, key=0))
    assert 30 <= result.usage.generated < 30 + 16
    assert result.stats["iterations"] < 100
    assert tree.generated == result.usage.generated


def test_a_budget_ends_a_walk_where_it_is() -> None:
    """Two steps at the root are more than the budget; the chain below is completed, not searched."""
    tree = PlantedTree(TREE)
    one = search(token_budget=1, walks_per_batch=1)
    result = asyncio.run(one.run(tree.start(problem()), policy=tree, reward=tree, key=0))
    assert [n for _, n in tree.calls] == [2, 1, 1]
    assert result.stats["iterations"] == 1


FLIPS: list[dict[str, Any]] = [
    {"num_iterations": 9},
    {"walks_per_batch": 1},
    {"walk": "cutoff"},
    {"widening_k": 3.0},
    {"widening_alpha": 0.9},
    {"epsilon": 0.2},
    {"rule": "cfr"},
    {"rule": "cfr+"},
    {"rule": "discounted"},
    {"baseline": "none"},
    {"prior_weight": 0.4},
    {"prior_regret": 1.0},
    {"max_steps": 2},
    {"token_budget": 12},
]


@pytest.mark.parametrize("change", FLIPS, ids=str)
def test_every_option_changes_the_tree(change: dict[str, Any]) -> None:
    base = {"num_iterations": 8, "bias": 0.2}
    assert any(planted(TREE, key, **base).tree != planted(TREE, key, **(base | change)).tree for key in range(4))


def test_the_prior_can_fade() -> None:
    base = {"num_iterations": 8, "prior_weight": 0.5}
    assert planted(TREE, **base).tree != planted(TREE, **base, prior_decay="linear").tree


def test_the_aggregate_and_the_temperature_change_something() -> None:
    assert real(aggregate="max").trajectories != real(aggregate="min").trajectories
    assert real(temperature=0.3).tree != real().tree


def test_a_search_is_a_function_of_its_key() -> None:
    assert planted(TREE, key=1) == planted(TREE, key=1)
    assert planted(TREE, key=1).tree != planted(TREE, key=2).tree
