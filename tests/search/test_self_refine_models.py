"""Self-refinement by real models: what it costs, depends on and never sees, and that every option counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from o1kit.decoding import Decoding
from o1kit.engines.policy import LanguagePolicy, PromptTemplate
from o1kit.engines.torch import TorchEngine
from o1kit.protocols import Span
from o1kit.rewards.prm import PrmReward
from o1kit.search.self_refine.config import (
    JudgeScoreConfig,
    MctsrConfig,
    PairwiseConfig,
    SelfRefineConfig,
    SelfScoreConfig,
    SrMctsConfig,
)
from o1kit.search.self_refine.search import SelfRefine
from o1kit.tasks.config import ReasoningGymConfig, SplitConfig
from o1kit.tasks.suite import build_suite
from o1kit.types import Action, Problem, Score, SearchResult, State
from tests.smollm2 import smollm2
from tests.tiny import engine_of, problem, tiny

MODEL, TEMPLATE = tiny(context=192)
JUDGE = tiny(seed=7, head=True, context=192)[0]
OTHER = tiny(seed=3, context=192)[0]
SELF = {"kind": "self_score", "prompt": "S {problem} {answer}", "max_tokens": 3}
PAIR = {"kind": "pairwise", "prompt": "? {problem} {first} or {second}", "alternatives": 60}
MCTSR: dict[str, Any] = {"kind": "mctsr", "num_rollouts": 3, "max_children": 2, "exploration": 60.0, "score": SELF}
BERRY: dict[str, Any] = {"kind": "sr_mcts", "max_nodes": 4, "exploration": 3.0, "score": PAIR}
BASE: dict[str, Any] = {
    "critique_prompt": "C {problem} {answer}",
    "critique_tokens": 3,
    "rewrite_prompt": "R {problem} {answer} {critique}",
}
LENGTH = 5
"""Tokens of an answer: how many forward passes a search takes, and so how long these tests do."""
ALGORITHMS = {
    "mctsr": MCTSR,
    "mctsr prm": MCTSR | {"score": {"kind": "judge"}},
    "sr_mcts": BERRY,
    "sr_mcts prm": BERRY | {"score": {"kind": "judge"}},
}


def _sum(tokens: Sequence[int]) -> int:
    return sum((i + 1) * token for i, token in enumerate(tokens))


class Grader(LanguagePolicy):
    """A real model whose replies to `S` are read as marks, two of three, and whose chains all state an answer."""

    async def propose(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), span: Span = Span()
    ) -> list[Action]:
        actions = await super().propose(state, n, key=key, decoding=decoding, span=span)
        if not state.problem.prompt.startswith("S "):
            return actions
        sums = [_sum(a.completion.token_ids) for a in actions]
        texts = [f"[Score] {s % 201 - 100}" if s % 3 else "hm" for s in sums]
        return [Action(text, a.completion) for text, a in zip(texts, actions, strict=True)]

    def answer(self, state: State) -> str | None:
        return f"{_sum(state.token_ids) % 7}"


def grader(max_batch: int = 64, policy: type[LanguagePolicy] = Grader) -> LanguagePolicy:
    other = policy(engine_of(OTHER, TEMPLATE, max_batch=max_batch), TEMPLATE, LENGTH)
    return policy(engine_of(MODEL, TEMPLATE, max_batch=max_batch), TEMPLATE, LENGTH, {"other": other}.__getitem__)


class Truth:
    """An oracle that accepts one answer in seven."""

    async def score(self, state: State) -> Score:
        return Score(float(_sum(state.token_ids) % 7 == 3), "truth", oracle=True)


def searched(
    changes: dict[str, Any], keys: Sequence[int] = (1,), policy: Any = None, max_batch: int = 64
) -> list[SearchResult]:
    """Searches with different keys, all at once."""
    config = SelfRefineConfig.model_validate({"kind": "self_refine", **BASE, **changes})
    search, policy = SelfRefine(config), policy or grader(max_batch)
    judge = PrmReward(engine_of(JUDGE, TEMPLATE, max_batch=max_batch))
    more = {"oracle": Truth()} if config.oracle else {}

    async def several() -> list[SearchResult]:
        roots = [policy.start(problem(f"{key}+1=?", f"p{key}")) for key in keys]
        pairs = zip(roots, keys, strict=True)
        return await asyncio.gather(*(search.run(r, policy=policy, reward=judge, key=k, **more) for r, k in pairs))

    return asyncio.run(several())


def plain(result: SearchResult) -> Any:
    """All but values, whose last bits depend on what was computed together."""
    tree = [(node.parent, node.text, node.visits) for node in result.tree]
    return tree, result.answers, [t.state.token_ids for t in result.trajectories], dict(result.stats), result.usage


def ledger(policy: LanguagePolicy, *names: str) -> int:
    return sum(p.engine.ledger.total.generated for p in (policy, *map(policy.named, names)))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_usage_is_what_the_engines_generated(name: str) -> None:
    policy = grader()
    changes: dict[str, Any] = {"algorithm": ALGORITHMS[name], "critic": "other"}
    (result,) = searched(changes, policy=policy)
    assert result.usage.generated == ledger(policy, "other") > 0
    assert policy.named("other").engine.ledger.total.generated > 0
    entries = policy.engine.ledger.entries
    assert {account.problem for account in entries} == {"p1"}, "composed prompts are charged to their problem"


@pytest.mark.parametrize("name", ALGORITHMS)
def test_searches_depend_on_their_key_and_on_nothing_that_is_computed_with_them(name: str) -> None:
    changes = {"algorithm": ALGORITHMS[name], "critic": "other"}
    together = [plain(r) for r in searched(changes, range(6))]
    assert [plain(r) for r in searched(changes, range(6), max_batch=5)] == together
    assert [plain(r) for r in searched(changes, [4], max_batch=1)] == together[4:5]
    assert len({str(tree) for tree, *_ in together}) == 6


@pytest.mark.parametrize("name", ALGORITHMS)
def test_trees_are_consistent(name: str) -> None:
    for result in searched({"algorithm": ALGORITHMS[name]}, range(8)):
        roots = [node for node in result.tree if node.parent is None]
        assert [node.id for node in result.tree] == list(range(len(result.tree)))
        assert len(roots) == (2 if name.startswith("mctsr") else 1)
        assert all(node.parent is None or node.parent < node.id for node in result.tree)
        assert all(0 <= node.value <= 1 and node.visits >= 1 for node in result.tree)
        assert len(result.trajectories) == len(result.tree) - len(roots) + 1
        assert all(t.state.terminal and 0 <= t.score <= 1 for t in result.trajectories)
        assert len(result.answers) == 1 and result.answers[0] in {t.answer for t in result.trajectories}
        assert result.stats["nodes"] == len(result.tree)
        if name.startswith("mctsr"):
            rewrites = len(result.tree) - 2
            assert sum(node.visits for node in result.tree) == 2 + 2 * rewrites, "each rollout visits two answers"
        else:
            assert result.tree[0].visits == len(result.tree), "every visit goes up to the root"
            assert [t.score for t in result.trajectories] == sorted(
                (t.score for t in result.trajectories), reverse=True
            )


def test_a_reward_model_judges_answers_as_chains_of_the_problem() -> None:
    (result,) = searched({"algorithm": ALGORITHMS["mctsr prm"]})
    root = grader().start(problem("1+1=?", "p1"))
    for trajectory in result.trajectories:
        chain = State(root.problem, root.prompt_ids, trajectory.state.actions)
        expected = asyncio.run(PrmReward(engine_of(JUDGE, TEMPLATE)).step_scores(chain))
        assert trajectory.step_scores == pytest.approx(expected, abs=1e-5)
        assert trajectory.score == pytest.approx(min(expected), abs=1e-5)
    rewrites = result.trajectories[1:]
    assert rewrites
    for trajectory in rewrites:
        prompt = TEMPLATE.decode(trajectory.state.prompt_ids)
        assert prompt.startswith("R 1+1=? ") and prompt == trajectory.state.problem.prompt + "\n"


PRM_MCTSR, PRM_BERRY = ALGORITHMS["mctsr prm"], ALGORITHMS["sr_mcts prm"]
LARGE: dict[str, Any] = {"max_nodes": 12, "exploration": 5.0, "max_children": 5}
"""Who is closed matters only where an old answer is looked at again, which takes a larger tree."""
FLIPS: list[tuple[type, str, dict[str, Any], dict[str, Any]]] = [
    (MctsrConfig, "num_rollouts", MCTSR, {"num_rollouts": 2}),
    (MctsrConfig, "max_children", MCTSR | {"num_rollouts": 6, "exploration": 99.0}, {"max_children": 1}),
    (MctsrConfig, "score", MCTSR, {"score": {"kind": "judge"}}),
    (MctsrConfig, "exploration", MCTSR, {"exploration": 0.0}),
    (MctsrConfig, "uct", MCTSR, {"uct": "code"}),
    (MctsrConfig, "backup", MCTSR, {"backup": "parent"}),
    (MctsrConfig, "dummy_answer", MCTSR, {"dummy_answer": "?"}),
    (MctsrConfig, "dummy_answer", MCTSR, {"dummy_answer": ""}),
    (MctsrConfig, "patience", MCTSR, {"patience": 1}),
    (MctsrConfig, "max_repeats", MCTSR | {"num_rollouts": 6}, {"max_repeats": 1}),
    (MctsrConfig, "max_depth", MCTSR, {"max_depth": 1}),
    (MctsrConfig, "pick", MCTSR, {"pick": "sampled"}),
    (MctsrConfig, "stop_when_correct", MCTSR, {"stop_when_correct": True}),
    (SelfScoreConfig, "prompt", MCTSR, {"score": SELF | {"prompt": "S {answer} {problem}"}}),
    (SelfScoreConfig, "max_tokens", MCTSR, {"score": SELF | {"max_tokens": 2}}),
    (SelfScoreConfig, "retries", MCTSR, {"score": SELF | {"retries": 0}}),
    (SelfScoreConfig, "suppress_above", MCTSR, {"score": SELF | {"suppress_above": 60.0}}),
    (
        SelfScoreConfig,
        "suppressed_score",
        MCTSR | {"score": SELF | {"suppress_above": 60.0}},
        {"score": SELF | {"suppress_above": 60.0, "suppressed_score": -100.0}},
    ),
    (JudgeScoreConfig, "aggregate", PRM_MCTSR, {"score": {"kind": "judge", "aggregate": "last"}}),
    (JudgeScoreConfig, "aggregate", PRM_BERRY, {"score": {"kind": "judge", "aggregate": "max"}}),
    (SrMctsConfig, "max_nodes", BERRY, {"max_nodes": 3}),
    (SrMctsConfig, "max_children", PRM_BERRY | LARGE, {"max_children": 1}),
    (SrMctsConfig, "score", BERRY, {"score": {"kind": "judge"}}),
    (SrMctsConfig, "exploration", BERRY, {"exploration": 0.0}),
    (SrMctsConfig, "alpha", BERRY, {"alpha": 0.5}),
    (SrMctsConfig, "gamma", BERRY, {"gamma": 0.5}),
    (SrMctsConfig, "backup", BERRY, {"backup": "parent"}),
    (PairwiseConfig, "prompt", BERRY, {"score": PAIR | {"prompt": "? {second} {problem} {first}"}}),
    (PairwiseConfig, "model", BERRY, {"score": PAIR | {"model": "other"}}),
    (PairwiseConfig, "alternatives", BERRY, {"score": PAIR | {"alternatives": 2}}),
]
OUTER: dict[str, Any] = {
    "algorithm": BERRY,
    "critic": "other",
    "critique_prompt": "C {answer} to {problem}. 1+1=",
    "critique_tokens": 2,
    "rewrite_prompt": "{answer} {critique} {problem}",
    "temperature": 0.5,
    "top_k": 2,
    "top_p": 0.3,
    "min_p": 0.3,
    "token_budget": 20,
}
KEYS = range(4)


@cache
def _shapes(changes: str) -> str:
    found = searched(json.loads(changes), KEYS)
    numbers = [[round(x, 5) for x in (*(t.score for t in r.trajectories), *(n.value for n in r.tree))] for r in found]
    return repr(([plain(r) for r in found], numbers))


def differ(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """True when the searches of two sections find different things. A bool, not two results for pytest to compare."""
    return _shapes(json.dumps(one)) != _shapes(json.dumps(other))


@pytest.mark.slow
@pytest.mark.parametrize(("section", "name", "base", "change"), FLIPS, ids=lambda x: x if isinstance(x, str) else "")
def test_every_option_of_the_algorithms_changes_what_is_found(
    section: type, name: str, base: dict[str, Any], change: dict[str, Any]
) -> None:
    assert differ({"algorithm": base | change}, {"algorithm": base})


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTER)
def test_every_option_of_the_search_changes_what_is_found(name: str) -> None:
    base: dict[str, Any] = {"algorithm": MCTSR}
    assert differ(base | {name: OUTER[name]}, base)


def test_no_option_is_left_out() -> None:
    tested = {(section, name) for section, name, *_ in FLIPS} | {(SelfRefineConfig, name) for name in OUTER}
    sections: list[Any] = [
        MctsrConfig,
        SrMctsConfig,
        SelfScoreConfig,
        JudgeScoreConfig,
        PairwiseConfig,
        SelfRefineConfig,
    ]
    assert tested == {(section, name) for section in sections for name in section.model_fields if name != "kind"}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_no_prompt_holds_the_ground_truth(name: str) -> None:
    """Every prompt is a template around the problem and texts that models of this search have written."""
    source = ReasoningGymConfig(kind="reasoning_gym", generator="chain_sum", params={"min_digits": 4, "max_digits": 4})
    suite = build_suite({"train": SplitConfig(num_problems=2, sources=[source])}, 0, Path())
    starts: list[Problem] = []

    class Noted(Grader):
        def start(self, item: Problem) -> State:
            starts.append(item)
            return super().start(item)

    policy = grader(policy=Noted)
    config = SelfRefineConfig.model_validate({"kind": "self_refine", "algorithm": ALGORITHMS[name], **BASE})
    for item in suite.problems("train"):
        starts.clear()
        answer = suite.truth(item).answer
        assert len(answer) >= 4 and answer not in item.prompt
        reward = PrmReward(engine_of(JUDGE, TEMPLATE))
        result = asyncio.run(SelfRefine(config).run(policy.start(item), policy=policy, reward=reward, key=0))
        assert len(starts) > 5 and len(result.tree) > 2
        written = [node.text for node in result.tree]
        for start in starts:
            left = start.prompt.replace(item.prompt, "", 1)
            assert left != start.prompt and answer not in left
            kind = left[:1]
            assert not left or (kind in "CSR?" and any(text in left for text in written))


@pytest.mark.parametrize("algorithm", [PRM_MCTSR, PRM_BERRY])
def test_it_needs_a_reward_where_the_recipe_says_so(algorithm: dict[str, Any]) -> None:
    config = SelfRefineConfig.model_validate({"kind": "self_refine", "algorithm": algorithm, **BASE})
    policy = grader()
    with pytest.raises(ValueError, match="judges steps"):
        asyncio.run(SelfRefine(config).run(policy.start(problem()), policy=policy, reward=None, key=0))


@pytest.mark.slow
def test_a_language_model_criticises_and_rewrites_itself() -> None:
    """SmolLM2 with the prompts as they come: two rollouts of MCTSr, two rewrites ranked by what it says of pairs."""
    model, tokenizer = smollm2()
    template = PromptTemplate(tokenizer)
    question = Problem("q", "chat", "What is 12 + 7? End with: The answer is <number>.")
    once = {"kind": "self_score", "retries": 0}
    algorithms = [{"kind": "mctsr", "num_rollouts": 2, "score": once}, {"kind": "sr_mcts", "max_nodes": 3}]
    for algorithm in algorithms:
        policy = LanguagePolicy(TorchEngine(model, template.eos_id, decode=template.decode), template, max_tokens=20)
        config = SelfRefineConfig.model_validate({"kind": "self_refine", "algorithm": algorithm})
        search = SelfRefine(config)
        result = asyncio.run(search.run(policy.start(question), policy=policy, reward=None, key=3))
        assert result.usage.generated == policy.engine.ledger.total.generated
        rewrites = [t for t in result.trajectories if "strict reviewer" in t.state.problem.prompt]
        assert len(rewrites) == 2
        assert all(question.prompt in t.state.problem.prompt for t in rewrites)
        assert all(t.state.terminal and t.state.text for t in result.trajectories)
        assert len(result.tree) == (4 if algorithm["kind"] == "mctsr" else 3)
        if algorithm["kind"] == "sr_mcts":
            assert result.stats["score_errors"] == 0, "Yes and No are among its likeliest words"
