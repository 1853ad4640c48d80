"""A policy whose chances of a right answer are planted, and a judge that knows a little: exact evaluations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest

from o1kit.decoding import Decoding
from o1kit.functional.keys import derive
from o1kit.ledger import Ledger
from o1kit.protocols import Artifact, StageInputs
from o1kit.recipe.schema import Recipe
from o1kit.report.outputs import FILE as OUTPUTS
from o1kit.report.outputs import Outputs, read_outputs
from o1kit.report.results import FILE, Results, read_results
from o1kit.rewards.pool import ScoringPool
from o1kit.stages.evaluate.module import EvaluateModule
from o1kit.stages.evaluate.stage import EvaluateStage
from o1kit.stages.models import Models
from o1kit.types import Account, Action, Completion, Problem, Score, State, Usage
from tests.small import RECIPE
from tests.tiny import tiny

COUNT = 12
MADE_FROM = {"sft": (), "prm": ("sft",), "ppo": ("sft", "prm"), "evaluate": ("sft", "prm", "ppo")}
SECRET = "4711"
"""The right answer to every problem; no prompt and no file of outputs but those with right answers may hold it."""
GREEDY, SAMPLE = {"kind": "greedy"}, {"kind": "sample", "num_samples": 4}
VOTE = {"kind": "best_of_n", "num_samples": 4}
MAJORITY, BEST = VOTE | {"select": "majority"}, VOTE | {"select": "best"}


class PlantedPolicy:
    """Problem i is answered rightly with chance (i + 1) / 13, the greedy chain of every second one is right."""

    def __init__(self, skill: float = 1.0) -> None:
        self.skill = skill
        self.template = tiny()[1]
        self.engine = SimpleNamespace(ledger=Ledger())
        self.prompts: list[str] = []

    def start(self, problem: Problem) -> State:
        self.prompts.append(problem.prompt)
        return State(problem, tuple(self.template.encode(problem.prompt)))

    async def complete(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), first: int = 0
    ) -> list[State]:
        return [self._chain(state, derive(key, i), decoding.greedy) for i in range(first, first + n)]

    def _chain(self, state: State, key: int, greedy: bool) -> State:
        number = int(state.problem.prompt.split()[1])
        luck = derive(key, 1) / 2**63
        right = number % 2 == 0 if greedy else luck < self.skill * (number + 1) / (COUNT + 1)
        answer = SECRET if right else str(derive(key, 2) % 3)
        finish = "length" if not right and luck > 0.95 else "answer"
        actions = [self._action("Let us see.\n", "step"), self._action(f"The answer is {answer}", finish)]
        tokens = sum(len(action.completion.token_ids) for action in actions)
        self.engine.ledger.charge(Account(state.problem.id, "simulate"), Usage(generated=tokens))
        return state.after(*actions)

    def _action(self, text: str, finish: Any) -> Action:
        ids = tuple(self.template.encode(text))
        return Action(text, Completion(ids, (0.0,) * len(ids), finish))

    def answer(self, state: State) -> str | None:
        return self.template.answer(state.text) if state.actions[-1].completion.finish == "answer" else None

    def text(self, token_ids: Sequence[int]) -> str:
        return self.template.decode(token_ids)

    def named(self, model: str) -> PlantedPolicy:
        return self


class PlantedJudge:
    """Likes right chains a little better, on the whole; scores are those of no other chain."""

    def __init__(self, oracle: bool = False) -> None:
        self.oracle = oracle
        self.engine = SimpleNamespace(ledger=Ledger())

    async def score(self, state: State) -> Score:
        return Score((await self.step_scores(state))[-1], "planted", oracle=self.oracle)

    async def step_scores(self, state: State) -> tuple[float, ...]:
        self.engine.ledger.charge(Account(state.problem.id, "score"), Usage(scored=len(state.token_ids)))
        noise = derive(sum(state.token_ids), len(state.token_ids)) / 2**63
        value = 0.6 * noise + 0.4 * (SECRET in state.text)
        return tuple(value for _ in state.actions)


@cache
def _pool() -> ScoringPool:
    return ScoringPool(num_workers=1)


def shared_pool(*options: object) -> ScoringPool:
    """One pool for all evaluations of a test process: its workers take a moment to start."""
    return _pool()


def write_problems(folder: Path) -> None:
    """Twelve problems for each of two splits, and training problems of which one is the same but for its case."""
    for name in ("heldout", "harder", "train"):
        offset = {"heldout": 0, "harder": 100, "train": 200}[name]
        rows = [{"question": f"Problem {i} of lot {offset}: how many?", "answer": SECRET} for i in range(COUNT)]
        if name == "train":
            rows[3]["question"] = "PROBLEM 3 of lot 0: how many?"
            rows[5]["question"] = "Problem 5 of lot 0: how many now?"
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row | {"other": str(len(rows))}) for row in rows))


def recipe_of(**section: Any) -> Recipe:
    stage = {"kind": "evaluate", "name": "evaluate", "policies": ["sft"], "judge": "prm"}
    stage |= {"searches": [GREEDY, SAMPLE, VOTE, MAJORITY, BEST]} | section
    tasks = {
        name: {"num_problems": COUNT, "sources": [{"kind": "jsonl", "path": f"{name}.jsonl"}]}
        for name in ("train", "heldout", "harder")
    }
    data = RECIPE | {"stages": [*RECIPE["stages"][:-1], stage], "tasks": tasks}
    return Recipe.model_validate(data)


class Evaluated:
    """A finished evaluation."""

    def __init__(self, folder: Path, module: EvaluateModule, policies: dict[str, PlantedPolicy]) -> None:
        self.folder, self.module, self.policies = folder, module, policies
        self.results: Results = read_results(folder / FILE)
        self.outputs: Outputs = read_outputs(folder / OUTPUTS)

    def accuracy(self, search: str, policy: str = "sft", split: str = "heldout") -> float:
        row = self.results.find(policy, search, split)
        assert row is not None, search
        return row.accuracy


def evaluate(folder: Path, patch: pytest.MonkeyPatch, judge: Any = None, **section: Any) -> Evaluated:
    """The stage as the runner runs it, with planted models; writes to `folder/evaluate` and `folder/recipe.json`.

    A judge given as a section is the real one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_problems(folder)
    policies = {"sft": PlantedPolicy(), "ppo": PlantedPolicy(1.3)}
    if isinstance(judge, dict):
        section["judge"] = judge
    patch.setattr(Models, "policy", lambda self, name: policies[name])
    real = Models.judge

    def judged(self: Models, config: Any, policy: Any, name: str) -> Any:
        if isinstance(judge, dict):
            return real(self, config, policy, name)
        return (judge or PlantedJudge()) if config else None

    patch.setattr(Models, "judge", judged)
    patch.setattr("o1kit.rewards.verifier.ScoringPool", shared_pool)
    recipe = recipe_of(**section)
    (folder / "recipe.json").write_text(recipe.model_dump_json())
    artifacts = {name: Artifact(name, name, folder / name, "x") for name in ("sft", "prm", "ppo")}
    inputs = StageInputs(recipe.stages[-1], recipe, folder, folder / "evaluate", artifacts, 5, "hash", MADE_FROM)
    stage = EvaluateStage()
    built = stage.build(inputs)
    assert isinstance(built.module, EvaluateModule)
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    L.Trainer(accelerator="cpu", enable_checkpointing=False, **quiet).test(built.module, built.data, verbose=False)
    stage.export(built, folder / "evaluate")
    return Evaluated(folder / "evaluate", built.module, policies)
