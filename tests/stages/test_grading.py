r"""A recipe's graders and its rule for answers at work in real stages: what `\boxed{}` says is found and graded."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest

import o1kit
from o1kit.engines.policy import LanguagePolicy
from o1kit.errors import DataError
from o1kit.models.load import save_directory
from o1kit.rewards.verifier import verifier_of
from o1kit.stages.evaluate.module import EvaluateModule
from o1kit.tasks.config import SplitConfig
from o1kit.tasks.graders.config import GradingConfig
from o1kit.tasks.suite import Suite, build_suite
from o1kit.types import Completion, Problem, State
from tests.small import LETTERS, built, small
from tests.tiny import tiny

ROWS = [("half of 1?", r"\frac{1}{2}"), ("2 * 9?", "18"), ("sides of a cube?", "6")]
CHAINS = {"half of 1?": r"I think \boxed{0.5}", "2 * 9?": "The answer is 18 apples.", "sides of a cube?": r"\boxed{7}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [json.dumps({"question": q, "answer": a}) for q, a in ROWS]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    model, template = tiny(context=160)
    save_directory(model, template.tokenizer, tmp_path / "sft")
    return tmp_path


async def planted(self: LanguagePolicy, state: State, n: int, **options: Any) -> list[State]:
    """Instead of what the model samples: the chain written for the problem, in the model's own tokens."""
    tokens = (*self.template.encode(CHAINS.get(state.problem.prompt, "?")), self.template.eos_id)
    completion = Completion(tokens, (0.0,) * len(tokens), "answer")
    return [State(state.problem, state.prompt_ids, self.split(completion))] * n


def accuracy(folder: Path, grader: dict[str, Any], grading: dict[str, Any]) -> float:
    """The share of right answers that the evaluation stage finds."""
    source = {"kind": "jsonl", "path": str(folder / "rows.jsonl"), "grader": grader}
    tasks = {
        "train": {"num_problems": 20, "sources": [LETTERS]},
        "heldout": {"num_problems": 3, "sources": [source]},
    }
    changes = {"evaluate": {"policies": ["sft"], "searches": [{"kind": "greedy"}], "judge": None}}
    stage = built(small(changes, tasks=tasks, grading=grading), "evaluate", folder / "out", {"sft": folder / "sft"})
    assert isinstance(stage.module, EvaluateModule)
    assert stage.module.suite.graders()["rows"].startswith(f"{grader['kind']} ")
    options: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    L.Trainer(accelerator="cpu", enable_checkpointing=False, **options).test(stage.module, stage.data, verbose=False)
    return stage.module.rows[0].accuracy


@pytest.mark.parametrize(
    ("grader", "grading", "right"),
    [
        ({"kind": "math"}, {"answer_rule": "final"}, 2),
        ({"kind": "math"}, {}, 1),  # boxes are not found
        ({"kind": "exact"}, {"answer_rule": "final"}, 0),
    ],
)
def test_graders_in_a_real_evaluation(
    folder: Path, monkeypatch: pytest.MonkeyPatch, grader: dict[str, Any], grading: dict[str, Any], right: int
) -> None:
    monkeypatch.setattr(LanguagePolicy, "complete", planted)
    assert accuracy(folder, grader, grading) == pytest.approx(right / 3)


def suite_of(grading: dict[str, Any], sources: list[dict[str, Any]], folder: Path = Path()) -> Suite:
    split = SplitConfig.model_validate({"num_problems": 3, "sources": sources})
    return build_suite({"heldout": split}, 0, folder, GradingConfig.model_validate(grading))


def test_every_limit_of_the_recipe_reaches_the_pool() -> None:
    given = {"num_workers": 3, "timeout_s": 1.5, "memory_mb": 512, "max_failures": 0.5}
    verifier = verifier_of(suite_of(given, [LETTERS]))
    found = (verifier.pool.num_workers, verifier.pool.timeout_s, verifier.pool.memory_mb, verifier.max_failures)
    assert found == tuple(given.values())
    verifier.pool.close()


def test_the_share_of_failures_that_ends_a_run_is_the_recipes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grader that cannot work in a worker fails on every answer."""
    source = {"kind": "jsonl", "path": "rows.jsonl", "grader": {"kind": "numeric"}}
    (folder / "rows.jsonl").write_text("\n".join(json.dumps({"question": f"{i}?", "answer": str(i)}) for i in range(3)))
    for share, fails in ((0.05, True), (1.0, False)):
        suite = suite_of({"max_failures": share, "num_workers": 1}, [source], folder)
        problem = suite.problems("heldout")[0]
        verifier = verifier_of(suite)
        truth = suite.truth(problem)
        monkeypatch.setitem(truth.payload, "unpicklable", lambda: None)  # type: ignore[arg-type]
        with verifier.pool:
            if fails:
                with pytest.raises(DataError, match=r"20 of 20 answers.*grading.max_failures"):
                    verifier.score_answers([(truth, "1")] * 20)
            else:
                assert {s.outcome for s in verifier.score_answers([(truth, "1")] * 20)} == {"error"}


def test_what_judges_each_task_is_told_with_its_version(folder: Path) -> None:
    rows = {"kind": "jsonl", "path": "rows.jsonl"}
    suite = suite_of({}, [rows, LETTERS], folder)
    told = suite.graders()
    assert told["rows"] == "exact 1"
    assert told["letter_counting"].startswith("reasoning_gym 0.")
    two = suite_of({}, [rows, rows | {"grader": {"kind": "math"}}], folder).graders()["rows"]
    assert two.startswith("exact 1 | math 3 (math-verify ")


def test_no_prompt_holds_what_a_grader_knows(folder: Path) -> None:
    (folder / "programs.jsonl").write_text('{"question": "double it", "answer": "SECRET", "input": "HIDDEN"}')
    grader = {"kind": "python", "runs_model_code": True, "stdin_field": "input"}
    source = {"kind": "jsonl", "path": "programs.jsonl", "grader": grader}
    split = SplitConfig.model_validate({"num_problems": 1, "sources": [source]})
    suite = build_suite({"heldout": split}, 0, folder)
    (problem,) = suite.problems("heldout")
    truth = suite.truth(problem)
    assert (truth.answer, truth.payload["stdin"]) == ("SECRET", "HIDDEN")
    assert problem == Problem(problem.id, "programs", "double it")


def test_stages_take_pools_and_rules_from_the_recipe() -> None:
    """A stage that made its own would ignore `grading`."""
    for path in sorted((Path(o1kit.__file__).parent / "stages").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name != "ScoringPool", f"{path}: use verifier_of(suite)"
                assert name != "PromptTemplate" or len(node.args) == 2, f"{path}: give it suite.grading.answer_rule"
