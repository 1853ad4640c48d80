"""Answers that a grader calls equal vote together, however they are written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from o1kit import registry
from o1kit.search.config import SearchConfig
from o1kit.search.mcts.decision import decide
from o1kit.tasks.config import JsonlConfig
from o1kit.tasks.graders.grader import build_grader
from o1kit.tasks.jsonl import JsonlSource
from o1kit.types import Action, Completion, Problem, Score, SearchResult, State, Trajectory

THOUSAND = ["7", "1,000", "7", "1000", "$1000$"]
HALF = ["3", r"\frac{1}{2}", "1/2", "3", "0.5"]


class Said:
    """A policy that gives planted answers, and a reward that believes all of them equally."""

    def __init__(self, answers: Sequence[str]) -> None:
        self.answers = answers

    def start(self, problem: Problem) -> State:
        return State(problem, (1,))

    async def complete(self, state: State, n: int, *, first: int = 0, **_: Any) -> list[State]:
        return [
            state.after(Action(text, Completion((2 + i,), (0.0,), "answer")))
            for i, text in enumerate(self.answers[first : first + n], first)
        ]

    def answer(self, state: State) -> str:
        return state.text

    async def score(self, state: State) -> Score:
        return Score(0.5, "planted")

    async def step_scores(self, state: State) -> tuple[float, ...]:
        return (0.5,) * len(state.actions)


def asked(folder: Path, kind: str) -> Problem:
    (folder / "rows.jsonl").write_text(json.dumps({"question": "?", "answer": "1000"}))
    grader: Any = {"kind": kind}
    ((problem, _),) = JsonlSource(JsonlConfig(kind="jsonl", path="rows.jsonl", grader=grader), folder).generate(0, 9)
    return problem


def found(problem: Problem, answers: Sequence[str], **section: Any) -> SearchResult:
    config: Any = TypeAdapter(SearchConfig).validate_python({"num_samples": len(answers), **section})
    policy = Said(answers)
    search: Any = registry.lookup("searches", config.kind)(config)
    result: SearchResult = asyncio.run(search.run(policy.start(problem), policy=policy, reward=policy, key=1))
    return result


@pytest.mark.parametrize("kind", ["numeric", "math"])
@pytest.mark.parametrize("answers", [THOUSAND, HALF])
@pytest.mark.parametrize("select", ["majority", "weighted"])
def test_equal_numbers_win_a_vote_together(tmp_path: Path, kind: str, answers: list[str], select: str) -> None:
    result = found(asked(tmp_path, kind), answers, kind="best_of_n", select=select)
    assert result.answers == (answers[1],), "in the words of the first chain"
    assert [t.answer for t in result.trajectories] == answers, "chains keep their own words"
    assert result.stats["distinct_answers"] == 2


def test_texts_vote_by_their_text(tmp_path: Path) -> None:
    problem = asked(tmp_path, "exact")
    assert found(problem, THOUSAND, kind="best_of_n", select="majority").answers == ("7",)
    assert problem.alike is None and Problem("p", "t", "?").alike is None
    assert problem == Problem(problem.id, problem.task, problem.prompt)


def test_sampling_stops_when_equal_answers_have_settled_it(tmp_path: Path) -> None:
    answers = ["1,000", "1000", "1e3", "7", "7"]
    adaptive = {"kind": "certain"}
    result = found(asked(tmp_path, "numeric"), answers, kind="best_of_n", select="majority", adaptive=adaptive)
    assert len(result.trajectories) == 3


def test_equal_answers_are_one_candidate_of_a_game(tmp_path: Path) -> None:
    mode = {"kind": "consensus", "num_samples": 5, "judge": "judge"}
    config: Any = TypeAdapter(SearchConfig).validate_python({"kind": "cfr", "mode": mode})
    policy = Said(THOUSAND)
    search: Any = registry.lookup("searches", "cfr")(config)
    result = asyncio.run(search.run(policy.start(asked(tmp_path, "math")), policy=policy, reward=policy, key=1))
    assert result.answers == ("1,000",)
    sizes = {node.text: node.visits for node in result.tree if node.unit == "answer"}
    assert sizes == {"7": 2, "1,000": 3}
    below = [node for node in result.tree if node.unit == "chain"]
    assert [node.parent for node in below] == [1, 2, 1, 2, 2]


def test_a_tree_decides_by_equal_answers(tmp_path: Path) -> None:
    problem, policy = asked(tmp_path, "numeric"), Said(THOUSAND)
    states = asyncio.run(policy.complete(policy.start(problem), 5))
    chains = [Trajectory(state, state.text, 0.9 if i == 3 else 0.5) for i, state in enumerate(states)]
    assert decide(chains, "visits") == decide(chains, "weighted") == "1,000"
    assert decide(chains, "best") in ("1,000", "1000")


@pytest.mark.parametrize(
    ("kind", "groups"),
    [
        ("numeric", [["1,000", "$1000", "1e3", "it is 1000."], ["50%", r"50\%"], ["50"], ["0.5", "1/2"], ["x"]]),
        (
            "math",
            [
                ["1,000", "$1000$", r"\boxed{1000}", "x = 1000", "1000 cm"], ["50%", r"50\%"], ["0.5", r"\frac12"],
                ["B", "(B)", "b", r"\text{(B)}"], ["x+1", "$x+1$", "X+1."], ["(1,2)"], ["[1,2)"], [r"[5,\infty)"],
                ["5", "5."], ["not 5"], [r"2\sqrt{3}"], ["2"], ["1,2"], ["-5"], [r"\pm 5"],
            ],
        ),
    ],
)  # fmt: skip
def test_what_graders_take_for_one_answer(kind: str, groups: list[list[str]]) -> None:
    section: Any = TypeAdapter(JsonlConfig).validate_python({"kind": "jsonl", "path": "x", "grader": {"kind": kind}})
    grader: Any = build_grader(section.grader)
    names = [{grader.alike(answer) for answer in group} for group in groups]
    assert [len(name) for name in names] == [1] * len(groups)
    assert len(set().union(*names)) == len(groups)
