"""What commands print, and what they write, of a recipe with values of the environment: the variables' names."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from o1kit.cli import main

RECIPE = """\
o1kit: 1
name: hush
model: {kind: scratch, hidden_size: 64}
tasks:
  train: {num_problems: 4, sources: [{kind: jsonl, path: "${env:O1KIT_DATA}/train.jsonl"}]}
  heldout: {num_problems: 2, sources: [{kind: jsonl, path: "${env:O1KIT_WORD}/held.jsonl"}]}
engine: {kind: http, endpoints: ["http://${env:O1KIT_HOST}:81/v1"]}
stages:
  - {kind: sft, name: sft, steps: 3, optimizer: {lr: "${env:O1KIT_RATE}"}}
  - kind: evaluate
    name: evaluate
    policies: [sft]
    judge: {kind: judge, rubric: "${env:O1KIT_WORD} {problem} {chain}"}
    searches: [{kind: greedy}, {kind: best_of_n, num_samples: 2, select: best}]
"""
WORD, NUMBER = "zq7secret", "0.00777123"
SHOWN = (
    "validate r.yaml",
    "validate r.yaml --json",
    "explain r.yaml",
    "explain r.yaml --full",
    "explain r.yaml stages.sft.optimizer.lr",
    "plan r.yaml",
    "plan r.yaml --json",
)
WRITTEN = (
    "run r.yaml --dry-run",
    "data show r.yaml",
    "recipe lock r.yaml",
    "recipe pack r.yaml",
)
FAULTS = (
    "validate r.yaml --set stages.sft.optimizer.lr=${stages.sft.name}${env:O1KIT_RATE}",
    "validate r.yaml --set tasks.train.sources=${env:O1KIT_DATA} --json",
    "validate r.yaml --set name=${env:O1KIT_WORD}",
    "validate r.yaml --set engine.endpoints=[${env:O1KIT_WORD}]",
    "plan r.yaml --set stages.evaluate.policies=[${env:O1KIT_WORD}]",
    "data show r.yaml --set tasks.train.sources[0].path=${env:O1KIT_DATA}/none.jsonl",
)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / WORD
    folder.mkdir()
    for name, first, count in (("train", 1, 4), ("held", 20, 2)):
        rows = [{"question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(first, first + count)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {"DATA": str(folder), "WORD": WORD, "HOST": f"{WORD}.example", "RATE": NUMBER}
    for name, value in values.items():
        monkeypatch.setenv(f"O1KIT_{name}", value)
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path


@pytest.mark.parametrize("commands", [SHOWN, pytest.param(WRITTEN, marks=pytest.mark.slow)], ids=["shown", "written"])
def test_commands_show_and_write_names_of_variables(
    commands: tuple[str, ...], recipe: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for command in commands:
        code = main(shlex.split(command))
        said = capfd.readouterr()
        assert code == 0, (command, said)
        assert said.out
        for secret in (WORD, NUMBER):
            assert secret not in said.out + said.err, command
    files = [path for path in recipe.rglob("*") if path.is_file() and WORD not in str(path.relative_to(recipe))]
    assert any(path.suffix == ".lock" for path in files) == (commands is WRITTEN)
    for path in files:
        for secret in (WORD, NUMBER):
            assert secret.encode() not in path.read_bytes(), path


def test_faults_show_names_of_variables(recipe: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for command in FAULTS:
        code = main(shlex.split(command))
        said = capfd.readouterr()
        assert code in (2, 4), (command, said)
        assert "${env:O1KIT_" in said.out + said.err, (command, said)
        for secret in (WORD, NUMBER):
            assert secret not in said.out + said.err, command
