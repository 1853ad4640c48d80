"""`--json`: what commands print for programs, and what is wrong as data too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from o1kit.cli import main
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
