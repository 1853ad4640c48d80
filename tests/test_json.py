"""`--json`: what commands print for programs, and what is wrong as data too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from o1kit.cli import main
from o1kit.sharing.archive import sha256
from tests.test_data_show import ROWS, lines

RECIPE = """
o1kit: 1
name: shown
model: {kind: scratch, hidden_size: 32, num_layers: 1, num_heads: 2, num_kv_heads: 1, context_length: 96}
tasks: {train: {num_problems: 2, sources: [{kind: jsonl, path: rows.jsonl, thought_field: thought}]}}
stages: [{kind: sft, name: sft, steps: 1}]
tracking: {wandb: {mode: disabled}}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(RECIPE)
    lines(Path("rows.jsonl"), ROWS)
    return "r.yaml"


def printed(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> Any:
    assert main([*words, "--json"]) == code
    said = capsys.readouterr()
    assert not said.err
    return json.loads(said.out)


@pytest.mark.parametrize("command", [["explain"], ["plan"], ["data", "show"]])
def test_faults_are_data(command: list[str], recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, 2, *command, recipe, "--set", "stages.sft.stepz=3")["faults"]
    assert [(f["place"], f["path"]) for f in found] == [("--set stages.sft.stepz=3", "stages[0].stepz")]


def test_errors_without_a_place_are_data_too(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no 'nope'" in printed(capsys, 2, "explain", recipe, "nope")["faults"][0]["message"]
    assert "has no section `lock`" in printed(capsys, 4, "recipe", "verify", recipe)["faults"][0]["message"]
    assert "'nope'" in printed(capsys, 2, "plugins", "check", "nope")["faults"][0]["message"]


@pytest.mark.parametrize(
    ("words", "code", "suggestion"),
    [
        (["explain", "r.yaml", "stages.sft.stps"], 2, "steps"),
        (["validate", "rr.yaml"], 2, None),
        (["validate", "recipe.yml"], 2, "recipe.yaml"),
        (["validate", "more.yaml"], 2, "recipe.yaml"),
        (["data", "show", "r.yaml", "--stage", "sftt"], 2, "sft"),
    ],
)
def test_what_was_meant_is_data(
    words: list[str], code: int, suggestion: str | None, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("recipe.yaml").write_text(RECIPE)
    Path("more.yaml").write_text("extends: recip.yaml\n")
    assert printed(capsys, code, *words)["faults"][0]["suggestion"] == suggestion


def test_samples_are_data(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, 0, "data", "show", recipe, "-n", "1")
    (sample,) = found["samples"]
    prompt, chain = sample["pieces"]
    assert not prompt["trained"] and chain["trained"] and chain["text"].endswith("<eos>")
    assert len(prompt["token_ids"]) == sample["prompt_tokens"] == sample["tokens"] - sample["trained_tokens"]
    assert found["figures"]["sequences"] == 2


def test_plugins_are_data(capsys: pytest.CaptureFixture[str]) -> None:
    built_in = {"group": "searches", "kind": "beam", "origin": "built-in", "version": "", "status": ""}
    assert built_in in printed(capsys, 0, "plugins", "list")
    assert isinstance(printed(capsys, 0, "plugins", "check"), list)


def test_what_is_not_as_locked_is_data(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "lock", recipe]) == 0
    capsys.readouterr()
    assert printed(capsys, 0, "recipe", "verify", "r.lock")["as_locked"] is True
    lines(Path("rows.jsonl"), ROWS[:2])
    found = printed(capsys, 4, "recipe", "verify", "r.lock")
    assert not found["as_locked"] and [one["what"] for one in found["differences"]] == ["rows.jsonl"]


def test_a_dry_run_is_data(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, 0, "run", recipe, "--dry-run")
    assert found["ready"] and not found["faults"] and found["folder"] == "runs/shown"
    assert [(row["stage"], row["action"]) for row in found["stages"]] == [("sft", "run")]
    Path("rows.jsonl").unlink()
    found = printed(capsys, 4, "run", recipe, "--dry-run")
    (fault,) = found["faults"]
    assert not found["ready"] and (fault["file"], fault["line"]) == ("r.yaml", 5)
    assert fault["path"] == "tasks.train.sources[0]" and fault["message"].startswith("/")
    stepz = printed(capsys, 2, "run", recipe, "--dry-run", "--set", "stages.sft.stepz=3")
    assert stepz["faults"][0]["suggestion"] == "steps"
    assert not Path("runs").exists()


@pytest.mark.parametrize("words", [("run", "r.yaml"), ("resume", "nope")])
def test_json_of_a_run_goes_with_a_dry_run(
    words: tuple[str, str], recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--dry-run" in printed(capsys, 2, *words)["faults"][0]["message"]
    assert not Path("runs").exists()


def test_runs_that_are_not_there_are_data(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["status", "nope"], ["resume", "nope", "--dry-run"]):
        assert "no run" in printed(capsys, 2, *words)["faults"][0]["message"]


def test_locks_and_archives_are_data(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, 0, "recipe", "lock", recipe)
    assert found["file"] == "r.lock" and {*found["lock"]["files"]} == {"rows.jsonl"}
    assert "is there already" in printed(capsys, 3, "recipe", "lock", recipe)["faults"][0]["message"]
    packed = printed(capsys, 0, "recipe", "pack", recipe, "--with-data")
    content = Path("r.o1r").read_bytes()
    assert (packed["file"], packed["bytes"]) == ("r.o1r", len(content)) and "rows.jsonl" in packed["files"]
    assert packed["sha256"] == sha256(content)
    assert "is there already" in printed(capsys, 3, "recipe", "pack", recipe)["faults"][0]["message"]


def test_what_is_pulled_is_data(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, 0, "recipe", "pull", recipe, "--out", "got")
    assert found["valid"] and found["written"] is None and not Path("got").exists()
    assert "comes along" in found["uses"]["data"]["rows.jsonl"] and {*found["files"]} == {"r.yaml", "rows.jsonl"}
    Path("r.yaml").write_text(RECIPE.replace("steps:", "stepz:"))
    found = printed(capsys, 0, "recipe", "pull", recipe, "--out", "got", "--yes")
    assert found["written"] == "got" and Path("got/r.yaml").is_file()
    assert not found["valid"] and [(f["place"], f["suggestion"]) for f in found["faults"]] == [("r.yaml:6:33", "steps")]
    assert (
        "is there already"
        in printed(capsys, 3, "recipe", "pull", recipe, "--out", "got", "--yes")["faults"][0]["message"]
    )
