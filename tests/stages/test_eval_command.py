"""`o1kit eval` on real folders, and what its stage must not depend on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1kit.cli import main
from o1kit.models.load import save_directory
from o1kit.protocols import StageInputs
from o1kit.report.outputs import read_outputs
from o1kit.report.results import read_results
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.stages.evaluate.stage import with_judge
from tests.alike import assert_alike
from tests.stages.planted_answers import shared_pool
from tests.tiny import tiny

pytestmark = pytest.mark.slow

WORDS = ["--search", "greedy", "--search", "best_of_n:num_samples=3,select=best", "--search", "sample:3", "--plain"]


@pytest.fixture(autouse=True)
def one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("o1kit.rewards.verifier.ScoringPool", shared_pool)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy, a reward model and six problems."""
    folder = tmp_path_factory.mktemp("made")
    for name, seed in (("policy", 0), ("judge", 3)):
        model, template = tiny(seed=seed, head=name == "judge", context=24)
        save_directory(model, template.tokenizer, folder / name)
    rows = [{"question": f"{i}+1=?", "answer": str(i + 1)} for i in range(6)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def o1kit_eval(made: Path, out: Path, *more: str) -> int:
    words = ["--tasks", str(made / "sums.jsonl"), "--judge", str(made / "judge"), *WORDS, "--out", str(out)]
    return main(["eval", str(made / "policy"), *words, *more])


def test_a_folder_is_evaluated_and_the_recipe_does_the_same(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert o1kit_eval(made, tmp_path / "first", "--seeds", "2") == 0
    shown = capsys.readouterr().out
    assert "rm@3" in shown and "pass@3 (oracle)" in shown and "6 sums" in shown
    folder = tmp_path / "first"
    results = read_results(folder / "results.json")
    assert [row.search for row in results.rows] == ["greedy", "rm@3", "pass@1", "pass@3"]
    assert results.about.judge == str(made / "judge")
    assert {line.seed for line in read_outputs(folder / "evaluate" / "outputs.jsonl").lines} == {0, 1}
    again = ["run", str(folder / "recipe.yaml"), "--runs-dir", str(tmp_path / "second"), "--plain"]
    assert main(again) == 0
    second = read_results(tmp_path / "second" / "first" / "results.json")
    assert (second.rows, second.about) == (results.rows, results.about)
    assert o1kit_eval(made, tmp_path / "first", "--seeds", "2") == 0
    assert "already done, skipped" in capsys.readouterr().out


def test_batches_change_nothing(made: Path, tmp_path: Path) -> None:
    found = []
    for size in (1, 64):
        assert o1kit_eval(made, tmp_path / str(size), "--engine", f"max_batch={size}", "--num-problems", "2") == 0
        found.append(read_outputs(tmp_path / str(size) / "evaluate" / "outputs.jsonl"))
    for part in ("problems", "chains"):
        assert getattr(found[0], part) == getattr(found[1], part)
    assert_alike(*([line.model_dump() for line in outputs.lines] for outputs in found))
    assert len(found[0].problems) == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--set", "model.dtype=float33"], 2, "dtype"),
        (["--search", "beam:num_beam=3"], 2, "num_beams"),
        (["--judge", "/nowhere"], 4, "there is no such folder"),
        (["--tasks", "nothing.jsonl"], 4, "cannot be read"),
        (["--tasks", "chain_sums"], 2, "Did you mean 'chain_sum'"),
    ],
)
def test_what_is_wrong_is_said(
    words: list[str], code: int, message: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert o1kit_eval(made, tmp_path / "x", *words) == code
    assert message in capsys.readouterr().err


def test_the_judge_in_a_folder_is_the_one_that_judges(made: Path, tmp_path: Path) -> None:
    stage = {"kind": "evaluate", "name": "e", "policies": ["model"], "searches": [{"kind": "greedy"}]}
    for name in ("judge", "policy"):
        config = EvaluateConfig.model_validate(stage | {"judge_folder": str(made / name)})
        inputs = with_judge(StageInputs(config, None, tmp_path, tmp_path, {}, 0))
        assert inputs.artifacts[inputs.config.judge].directory == made / name
    plain = StageInputs(EvaluateConfig.model_validate(stage), None, tmp_path, tmp_path, {}, 0)
    assert with_judge(plain) is plain
