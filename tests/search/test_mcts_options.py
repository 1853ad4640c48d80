"""Every option of tree search on a real model: what it changes, and what it must not."""

from __future__ import annotations

import ast
import asyncio
import functools
from typing import Any

import pytest
from pydantic import ValidationError

from o1kit.engines.policy import LanguagePolicy
from o1kit.rewards.judges import own_judge
from o1kit.rewards.prm import PrmReward
from o1kit.search.config import MctsConfig
from o1kit.search.mcts.rules import likelihood
from o1kit.search.mcts.search import Mcts
from o1kit.types import Score, SearchResult, State
from tests.tiny import engine_of, policy_of, problem, tiny

MODEL, TEMPLATE = tiny(context=160, head=True)
OTHER = tiny(seed=3, context=160)[0]
JUDGE = tiny(seed=7, head=True, context=160)[0]
BASE: dict[str, Any] = {"num_simulations": 12}
TYPED: dict[str, Any] = {
    "kind": "actions",
    "start": {"think": 2},
    "actions": {
        "think": {"prefix": "so ", "next": {"think": 1, "check": 1, "conclude": 1}},
        "check": {"prefix": "wait, ", "hint": "look for mistakes\n", "next": {"think": 2}},
        "conclude": {"prefix": "So the answer is ", "model": "other"},
    },
}


class Lettered(LanguagePolicy):
    """A policy whose chains all have an answer: how long they are, in a few classes."""

    def answer(self, state: State) -> str | None:
        return str(len(state.text))


def policy(max_batch: int = 64) -> LanguagePolicy:
    engine = engine_of(MODEL, TEMPLATE, max_batch=max_batch)
    other = policy_of(OTHER, TEMPLATE, max_batch=max_batch)
    return Lettered(engine, TEMPLATE, 24, {"other": other}.__getitem__)


def judge(max_batch: int = 64) -> PrmReward:
    return PrmReward(engine_of(JUDGE, TEMPLATE, max_batch=max_batch))


class Even:
    """A verifier that accepts chains of an even number of characters."""

    async def score(self, state: State) -> Score:
        return Score(float(len(state.text) % 2 == 0), "planted", oracle=True)


POLICY, PRM = policy(), judge()


def config(**changes: Any) -> MctsConfig:
    return MctsConfig.model_validate({"kind": "mcts", **BASE, **changes})


def run(asked: Any = None, reward: Any = None, key: int = 1, **changes: Any) -> SearchResult:
    section, asked = config(**changes), asked or policy()
    reward = own_judge(section, asked.engine) or reward or judge()
    more: Any = {"oracle": Even()} if section.oracle else {}
    search = Mcts(section).run(asked.start(problem(f"{key}+1=?")), policy=asked, reward=reward, key=key, **more)
    return asyncio.run(search)


def shape(result: SearchResult) -> Any:
    nodes = [(n.parent, n.text, n.visits, round(n.value, 5), round(n.prior, 5)) for n in result.tree]
    return nodes, result.answers, [t.state.token_ids for t in result.trajectories]


@functools.lru_cache
def searched(key: int, changes: str) -> Any:
    """The shape of a search, made once; all share their engines."""
    return shape(run(POLICY, PRM, key, **ast.literal_eval(changes)))


ROLLOUT = {"rollout": {"share": 1.0}}
GUMBEL = {"selection": {"kind": "gumbel"}, "root_children": 8, "num_children": 4, "num_simulations": 24}
WIDENING = {"widening": {"k": 2.0, "alpha": 0.7}, "num_simulations": 24}
FAILURE = {**TYPED, "failure": {"after": "think", "add": {"check": 2}, "below": 0.9}}
FLIPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "num_simulations": ({}, {"num_simulations": 20}),
    "token_budget": ({}, {"token_budget": 40}),
    "num_children": ({}, {"num_children": 5}),
    "root_children": ({}, {"root_children": 7}),
    "expand": ({}, {"expand": "chain"}),
    "unit": ({"leaf_value": "value_head"}, {"unit": {"kind": "tokens", "size": 64}}),
    "unit.size": (
        {"leaf_value": "value_head", "unit": {"kind": "tokens", "size": 8}},
        {"unit": {"kind": "tokens", "size": 4}},
    ),
    "selection": ({}, {"selection": {"kind": "uct"}}),
    "puct.c": ({}, {"selection": {"kind": "puct", "c": 8.0}}),
    "puct.base": ({}, {"selection": {"kind": "puct", "base": 0.1}}),
    "uct.c": ({"selection": {"kind": "uct"}}, {"selection": {"kind": "uct", "c": 0.1}}),
    "ucb1": ({"selection": {"kind": "uct", "c": 0.5}}, {"selection": {"kind": "ucb1", "c": 0.5}}),
    "ucb1.c": ({"selection": {"kind": "ucb1"}}, {"selection": {"kind": "ucb1", "c": 0.1}}),
    "varentropy": ({"selection": {"kind": "puct", "c": 1.4}}, {"selection": {"kind": "varentropy", "noise": 0.0}}),
    "varentropy.c": ({"selection": {"kind": "varentropy"}}, {"selection": {"kind": "varentropy", "c": 0.1}}),
    "varentropy.weight": ({"selection": {"kind": "varentropy"}}, {"selection": {"kind": "varentropy", "weight": 9.0}}),
    "varentropy.noise": ({"selection": {"kind": "varentropy"}}, {"selection": {"kind": "varentropy", "noise": 0.9}}),
    "varentropy.alternatives": (
        {"selection": {"kind": "varentropy", "weight": 9.0}},
        {"selection": {"kind": "varentropy", "weight": 9.0, "alternatives": 2}},
    ),
    "gumbel": ({**GUMBEL, "selection": {"kind": "puct"}}, GUMBEL),
    "gumbel.max_considered": (GUMBEL, {"selection": {"kind": "gumbel", "max_considered": 2}}),
    "gumbel.c_visit": (GUMBEL, {"selection": {"kind": "gumbel", "c_visit": 0.0}}),
    "gumbel.c_scale": (GUMBEL, {"selection": {"kind": "gumbel", "c_scale": 0.001}}),
    "confidence_tokens": ({"leaf_value": "confidence"}, {"confidence_tokens": 2}),
    "prior": ({"selection": {"kind": "puct", "c": 4.0}}, {"prior": "likelihood"}),
    "unvisited.infinity": ({}, {"unvisited": "infinity"}),
    "unvisited.prior": ({}, {"unvisited": "prior"}),
    "leaf_value": ({}, {"leaf_value": "value_head"}),
    "rollout": ({}, ROLLOUT),
    "rollout.share": (ROLLOUT, {"rollout": {"share": 0.3}}),
    "rollout.max_steps": (ROLLOUT, {"rollout": {"max_steps": 1}}),
    "rollout.keep": (ROLLOUT, {"rollout": {"keep": "best"}}),
    "backup.discounted": ({}, {"backup": {"kind": "discounted"}}),
    "backup.gamma": ({"backup": {"kind": "discounted"}}, {"backup": {"kind": "discounted", "gamma": 0.5}}),
    "backup.child_mean": ({}, {"backup": {"kind": "child_mean"}}),
    "widening": ({"num_simulations": 24}, WIDENING),
    "widening.k": (WIDENING, {"widening": {"k": 4.0, "alpha": 0.7}}),
    "widening.alpha": (WIDENING, {"widening": {"k": 2.0, "alpha": 0.1}}),
    "widening.num_children": (WIDENING, {"widening": {"k": 2.0, "alpha": 0.7, "num_children": 2}}),
    "stop.value": ({}, {"stop": {"value": 0.01}}),
    "stop.patience": ({"num_simulations": 30}, {"stop": {"patience": 2}}),
    "stop.no_improvement": ({"num_simulations": 30}, {"stop": {"no_improvement": 2}}),
    "stop.correct.high": ({"num_simulations": 30}, {"stop": {"correct": {"low": 1, "high": 1}}}),
    "stop.correct.low": (
        {"num_simulations": 2, "stop": {"correct": {"low": 1, "high": 60}}},
        {"stop": {"correct": {"low": 60, "high": 60}}},
    ),
    "stop.correct.limit": (
        {"num_simulations": 2, "stop": {"correct": {"low": 60, "high": 60}}},
        {"stop": {"correct": {"low": 60, "high": 60, "limit": 2}}},
    ),
    "leaves_per_batch": ({}, {"leaves_per_batch": 1}),
    "max_steps": ({"num_simulations": 30}, {"max_steps": 1}),
    "select.visits": ({"expand": "chain"}, {"select": "visits"}),
    "select.best": ({"expand": "chain"}, {"select": "best"}),
    "select.path": ({}, {"select": "path"}),
    "aggregate": ({"select": "best"}, {"aggregate": "last"}),
    "root_noise": ({}, {"root_noise": 0.9}),
    "root_noise_alpha": ({"root_noise": 0.9}, {"root_noise_alpha": 9.0}),
    "temperature": ({}, {"temperature": 0.5}),
    "top_k": ({}, {"top_k": 2}),
    "top_p": ({}, {"top_p": 0.3}),
    "min_p": ({}, {"min_p": 0.3}),
    "actions": ({}, {"unit": TYPED}),
    "actions.start": ({"unit": TYPED}, {"unit": {**TYPED, "start": {"check": 3}}}),
    "actions.choose": ({"unit": TYPED}, {"unit": {**TYPED, "choose": "values"}}),
    "actions.failure": ({"unit": TYPED}, {"unit": FAILURE}),
    "actions.failure.below": (
        {"unit": FAILURE},
        {"unit": {**FAILURE, "failure": {"after": "think", "add": {"check": 2}, "below": 0.0}}},
    ),
    "actions.failure.add": (
        {"unit": FAILURE},
        {"unit": {**FAILURE, "failure": {"after": "think", "add": {"conclude": 1}, "below": 0.9}}},
    ),
    "actions.failure.judged_by": (
        {"unit": FAILURE},
        {"unit": {**FAILURE, "failure": {**FAILURE["failure"], "judged_by": "verifier"}}},
    ),
}
for name, changed in {
    "prefix": {"check": {"prefix": "hm, "}},
    "hint": {"check": {"hint": ""}},
    "model": {"conclude": {"model": None}},
    "next": {"think": {"next": {"check": 2}}},
}.items():
    actions = {kind: {**action, **changed.get(kind, {})} for kind, action in TYPED["actions"].items()}
    FLIPS[f"action.{name}"] = ({"unit": TYPED}, {"unit": {**TYPED, "actions": actions}})


@pytest.mark.slow
@pytest.mark.parametrize("name", FLIPS)
def test_every_option_changes_what_is_found(name: str) -> None:
    base, change = FLIPS[name]
    assert any(searched(key, repr({**base, **change})) != searched(key, repr(base)) for key in range(6))


LIMITED = {**TYPED, "actions": {**TYPED["actions"], "check": {"prefix": "wait, ", "max_tokens": 12}}}
SHORTER = {**TYPED, "actions": {**TYPED["actions"], "check": {"prefix": "wait, ", "max_tokens": 4}}}
FLIPS["action.max_tokens"] = ({"unit": LIMITED, "leaf_value": "value_head"}, {"unit": SHORTER})


VARIANTS: dict[str, dict[str, Any]] = {
    "rollout": {"rollout": {"share": 0.5, "keep": "best"}, "backup": {"kind": "child_mean"}},
    "tokens": {"unit": {"kind": "tokens", "size": 8}, "leaf_value": "value_head"},
    "actions": {"unit": {**FAILURE, "choose": "values"}},
    "gumbel": GUMBEL,
    "widening": WIDENING,
    "varentropy": {"selection": {"kind": "varentropy"}},
    "likelihood": {"prior": "likelihood", "unvisited": "infinity", "root_noise": 0.25},
    "confidence": {"leaf_value": "confidence", "selection": {"kind": "varentropy"}, "rollout": {"max_steps": 1}},
    "budget": {"token_budget": 60, "num_simulations": 99},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_usage_is_what_the_engines_generated(name: str) -> None:
    asked = policy()
    result = run(asked, key=2, **VARIANTS[name])
    engines = {id(p.engine): p.engine for p in (asked, asked.named("other"))}
    assert result.usage.generated == sum(engine.usage.generated for engine in engines.values()) > 0


@pytest.mark.parametrize(
    "name", [n if n in ("rollout", "actions") else pytest.param(n, marks=pytest.mark.slow) for n in VARIANTS]
)
def test_trees_do_not_depend_on_batching(name: str) -> None:
    def tree(max_batch: int) -> Any:
        asked, section = policy(max_batch), config(**VARIANTS[name])
        reward = own_judge(section, asked.engine) or judge(max_batch)
        found = run(asked, reward, key=3, **VARIANTS[name]).tree
        return [(node.parent, node.text, node.visits) for node in found]

    assert tree(1) == tree(5) == tree(64)


def test_mini_steps_have_so_many_tokens() -> None:
    result = run(unit={"kind": "tokens", "size": 6}, leaf_value="value_head", select="path")
    for trajectory in result.trajectories:
        *inner, last = [len(action.completion.token_ids) for action in trajectory.state.actions]
        assert set(inner) <= {6} or any(a.text for a in trajectory.state.actions)
        assert last > 0


def test_likelihood_priors_are_shares_of_length_normalised_probabilities() -> None:
    """Recomputed from the finished chains' own log-probabilities, by node."""
    result = run(prior="likelihood", expand="chain", num_simulations=1, num_children=6)
    first = {t.state.actions[0].text: likelihood(t.state.actions[0]) for t in result.trajectories}
    total = sum(first.values())
    for node in result.tree:
        if node.parent == 0:
            assert node.prior == pytest.approx(first[node.text] / total)


def test_finished_rollouts_are_found_chains_and_their_shares_add_up() -> None:
    result = run(**ROLLOUT)
    rolled = [node for node in result.tree if node.kind == "rollout"]
    assert rolled
    assert all(node.terminal and not node.visits for node in rolled)
    assert len(result.trajectories) == sum(node.terminal for node in result.tree)
    assert 0 < sum(t.prior for t in result.trajectories) <= 1 + 1e-9


def test_short_rollouts_only_lend_their_value() -> None:
    with_steps = run(rollout={"max_steps": 1})
    assert all(t.state.terminal for t in with_steps.trajectories)


def test_a_token_budget_ends_the_search() -> None:
    result = run(num_simulations=500, token_budget=120, leaves_per_batch=1)
    assert result.stats["simulations"] < 500
    assert result.usage.generated >= 120
    before = run(num_simulations=int(result.stats["simulations"]) - 1, leaves_per_batch=1)
    assert before.usage.generated < 120 + 24, "the last simulation was begun within the budget"


def test_right_answers_are_counted_until_there_are_enough() -> None:
    result = run(num_simulations=200, leaves_per_batch=1, stop={"correct": {"low": 2, "high": 2}})
    right = [t for t in result.trajectories if len(t.state.text) % 2 == 0]
    assert len(right) >= 2
    assert result.stats["stopped_early"] == 1
    with pytest.raises(ValueError, match="counts right answers"):
        asyncio.run(
            Mcts(config(stop={"correct": {}})).run(policy().start(problem()), policy=policy(), reward=judge(), key=0)
        )


def test_typed_actions_follow_the_grammar() -> None:
    result = run(unit=TYPED, num_simulations=20)
    chains = [[action.kind for action in t.state.actions] for t in result.trajectories]
    table = {"": {"think"}, "think": {"think", "check", "conclude"}, "check": {"think"}, "conclude": {"think"}}
    assert chains
    for kinds in chains:
        for before, after in zip(["", *kinds], kinds, strict=False):
            # the completion of an unfinished chain at the very end is plain
            assert after in table[before] | {""}


def test_given_words_open_the_actions_and_hints_stay_out() -> None:
    result = run(unit=TYPED, num_simulations=20)
    texts = [node.text for node in result.tree[1:]]
    assert any(text.startswith("wait, ") for text in texts)
    assert not any("look for mistakes" in text for text in texts)


def test_a_failed_chain_is_tried_again_above_its_end() -> None:
    """With a planted judge that dislikes everything: every failed chain's nearest `think` gets two more `check`s."""

    class Dislikes:
        async def score(self, state: State) -> Score:
            return Score(0.1, "planted")

        async def step_scores(self, state: State) -> tuple[float, ...]:
            return (0.1,) * len(state.actions)

    plain = run(reward=Dislikes(), unit=TYPED, num_simulations=40)
    again = run(reward=Dislikes(), unit=FAILURE, num_simulations=40)

    def most_checks(result: SearchResult) -> int:
        by_parent: dict[Any, int] = {}
        for node in result.tree:
            by_parent[node.parent] = by_parent.get(node.parent, 0) + node.text.startswith("wait, ")
        return max(by_parent.values())

    assert most_checks(plain) == 1
    assert most_checks(again) > 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": {"kind": "tokens"}, "leaf_value": "value_head", "expand": "chain"}, "makes a node of every step"),
        ({"unit": TYPED, "expand": "chain"}, "makes a node of every step"),
        ({"selection": {"kind": "gumbel"}, "root_noise": 0.1}, "noise of its own|its own noise"),
        ({"selection": {"kind": "gumbel"}, "unvisited": "prior"}, "completes the values"),
        ({"confidence_tokens": 3}, "is for `leaf_value: confidence`"),
        ({"stop": {"correct": {"low": 9, "high": 8}}}, "must not be above"),
        ({"unit": {"kind": "tokens", "actions": {}}}, "unit.tokens.actions"),
        ({"unit": TYPED, "num_children": 5}, "say themselves how many"),
        ({"unit": TYPED, "root_children": 5}, "say themselves how many"),
        ({"expand": "chain", "rollout": {}}, "goes on to the end itself"),
        ({"selection": {"kind": "uct"}, "prior": "likelihood"}, "does not look at priors"),
        ({"selection": {"kind": "ucb1"}, "root_noise": 0.2}, "does not look at priors"),
        ({"root_noise_alpha": 1.0}, "is the shape of"),
        ({"selection": {"kind": "gumbel"}, "widening": {}}, "first children"),
        ({"unit": {**TYPED, "start": {"thnik": 1}}}, "Did you mean 'think'"),
    ],
)
def test_contradictory_options_are_refused_with_the_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**changes)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_section_that_is_written_down_is_read_again(name: str) -> None:
    section = config(**VARIANTS[name])
    assert MctsConfig.model_validate(section.model_dump(mode="json")) == section


def test_what_uses_the_ground_truth_says_so() -> None:
    assert not config().oracle
    assert config(stop={"correct": {}}).oracle
    assert config(unit={**FAILURE, "failure": {**FAILURE["failure"], "judged_by": "verifier"}}).oracle
    assert config(unit=TYPED).models == ("other",)
