"""Best-of-N and self-refinement with a judge that compares: planted preferences, and what is recorded of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from o1kit.errors import RewardFailure
from o1kit.functional.preference import bradley_terry
from o1kit.rewards.judges import guarded
from o1kit.search.best_of_n.search import BestOfN
from o1kit.search.config import BestOfNConfig, SelfRefineConfig
from o1kit.search.journal import Journal
from o1kit.search.ranking import borda_values
from o1kit.search.self_refine.search import SelfRefine
from o1kit.search.tolerance import Tolerance
from o1kit.stages.evaluate.shared import remembered
from o1kit.types import Action, Completion, Problem, Score, SearchResult, State

PROBLEM = Problem("p", "test", "Which?")
PUBLISHED = {
    ("a", "b"): 0.8,
    ("a", "c"): 0.6,
    ("a", "d"): 0.7,
    ("b", "c"): 0.9,
    ("b", "d"): 0.55,
    ("c", "d"): 0.52,
}
"""Preferences without a cycle: a before b before c before d, at 1, 2/3, 1/3 and 0."""


def chain(text: str) -> State:
    return State(PROBLEM, (0,), (Action(text, Completion((ord(text),), (0.0,), "answer")),))


class Draws:
    """A policy that samples given letters; each is its own answer, whatever follows a letter."""

    def __init__(self, letters: str, answers: Mapping[str, str] | None = None) -> None:
        self.letters, self.answers = letters, answers or {}

    def start(self, problem: Problem) -> State:
        return State(problem, (0,))

    async def complete(self, state: State, n: int, *, key: int, first: int = 0, **_: Any) -> list[State]:
        return [chain(letter) for letter in self.letters[first : first + n]]

    async def propose(self, state: State, n: int, *, key: int, **_: Any) -> list[Action]:
        return [Action("hm", Completion((1,), (0.0,), "length"))] * n

    def named(self, model: str) -> Draws:
        return self

    def answer(self, state: State) -> str:
        return self.answers.get(state.text, state.text)


class Prefers:
    """Compares letters as planted, and counts how often it is asked; what is not planted is not known."""

    engine = None

    def __init__(self, planted: Mapping[tuple[str, str], float | Exception]) -> None:
        self.planted = planted
        self.asked: list[tuple[str, str]] = []

    async def prefer(self, first: State, second: State) -> float | None:
        self.asked.append((first.text, second.text))
        found = self.planted.get((first.text, second.text))
        if isinstance(found, Exception):
            raise found
        if found is None and (back := self.planted.get((second.text, first.text))) is not None:
            return 1 - float(back)  # type: ignore[arg-type]
        return found

    async def score(self, state: State) -> Score:
        return Score(0.5, "planted")

    async def step_scores(self, state: State) -> tuple[float, ...]:
        return (0.5,) * len(state.actions)


def best_of(letters: str, reward: Any, answers: Mapping[str, str] | None = None, **options: Any) -> SearchResult:
    config = BestOfNConfig(kind="best_of_n", num_samples=len(letters), **options)
    policy: Any = Draws(letters, answers)
    return asyncio.run(BestOfN(config).run(policy.start(PROBLEM), policy=policy, reward=reward, key=0))


def test_samples_are_ranked_by_the_borda_count() -> None:
    result = best_of("cadb", Prefers(PUBLISHED), select="best")
    assert {t.state.text: t.score for t in result.trajectories} == pytest.approx(
        {"a": 1, "b": 2 / 3, "c": 1 / 3, "d": 0}
    )
    assert result.answers == ("a",)
    assert all(t.step_scores == () for t in result.trajectories)


def test_a_cycle_is_a_tie_that_beats_what_lies_below() -> None:
    cycle = PUBLISHED | {("a", "c"): 0.3}
    scores = {t.state.text: t.score for t in best_of("abcd", Prefers(cycle), select="best").trajectories}
    assert scores["d"] == 0 and min(scores[x] for x in "abc") == pytest.approx(1 / 3)


def test_a_vote_is_weighted_with_the_ranks() -> None:
    """a counts 1, b 2/3, c 1/3 and d nothing: what a and c say has twice the weight of what b and d say."""
    answers = {"a": "x", "b": "y", "c": "x", "d": "y"}
    assert best_of("abcd", Prefers(PUBLISHED), answers, select="weighted").answers == ("x",)
    assert best_of("abcd", Prefers(PUBLISHED), {**answers, "a": "y", "b": "x"}, select="weighted").answers == ("y",)


def test_every_pair_is_compared_once_and_equal_chains_not_at_all() -> None:
    reward = Prefers(PUBLISHED)
    result = best_of("aabba", reward, select="best")
    assert reward.asked == [("a", "b")]
    assert [t.score for t in result.trajectories] == [1, 1, 0, 0, 1]
    assert asyncio.run(borda_values(reward, [chain("a")])) == [1.0]


def test_ranks_within_a_budget_are_those_of_what_was_drawn() -> None:
    result = best_of("bacd", Prefers(PUBLISHED), select="best", token_budget=2)
    assert [t.state.text for t in result.trajectories] == ["b", "a"] and result.answers == ("a",)


def test_a_rule_that_looks_at_scores_before_all_are_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="leave `adaptive` out"):
        best_of("abcd", Prefers(PUBLISHED), adaptive={"kind": "certain"})


def test_comparisons_are_recorded_and_failures_counted(tmp_path: Path) -> None:
    """A search that is run again asks nothing again; a pair that failed is unknown, and no win of either."""
    planted = PUBLISHED | {("c", "d"): RewardFailure("away", "timeout")}
    first, again = Prefers(planted), Prefers(planted)
    results = []
    for reward in (first, again):
        tolerance = Tolerance(1.0)
        with Journal(tmp_path / "journal", {}) as journal:
            guard = remembered(guarded(reward, journal, tolerance, "judge"))  # type: ignore[arg-type]
            results.append(best_of("abcd", guard, select="best"))
        assert (tolerance.judged, tolerance.failed) == (6, 1)
    assert results[0] == results[1]
    assert len(first.asked) == 6 and again.asked == []
    assert results[0].answers == ("a",)


def test_sr_mcts_asks_a_comparing_judge_about_pairs() -> None:
    algorithm = {"kind": "sr_mcts", "max_nodes": 2, "score": {"kind": "judge"}}
    config = SelfRefineConfig.model_validate({"kind": "self_refine", "algorithm": algorithm})

    def refined(reward: Any) -> SearchResult:
        policy: Any = Refines()
        return asyncio.run(SelfRefine(config).run(policy.start(PROBLEM), policy=policy, reward=reward, key=0))

    reward = Prefers({})
    result = refined(reward)
    assert reward.asked == [("a", "b")]
    assert result.stats["score_errors"] == 1, "nothing was planted"
    assert refined(Prefers({("a", "b"): 0.1})).answers == ("b",)
    assert bradley_terry(0.5, 0.5) == 0.5, "its single scores would have been a tie"


class Refines(Draws):
    """Answers a, then b for a rewrite."""

    def __init__(self) -> None:
        super().__init__("ab")
        self.calls = 0

    async def complete(self, state: State, n: int, *, key: int, first: int = 0, **_: Any) -> list[State]:
        self.calls += 1
        return [State(state.problem, state.prompt_ids, chain("ab"[min(self.calls, 2) - 1]).actions)]
