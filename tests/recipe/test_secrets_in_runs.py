"""A run with values from the environment, in a real process: no byte of what it leaves or prints holds one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from o1kit.cli import main
from tests.tiny import tiny

RECIPE = """\
o1kit: 1
name: hush
model: {kind: hf, source: "${env:O1KIT_MODEL}"}
tasks:
  train: {num_problems: 8, sources: [{kind: jsonl, path: "${env:O1KIT_DATA}/train.jsonl"}]}
  heldout: {num_problems: 4, sources: [{kind: jsonl, path: "${env:O1KIT_DATA}/held.jsonl"}]}
stages:
  - {kind: sft, name: sft, steps: "${env:O1KIT_STEPS}", batch_size: 2, checkpoint_every: 1}
  - kind: evaluate
    name: evaluate
    policies: [sft]
    judge: {kind: judge, rubric: "${env:O1KIT_RUBRIC} {problem} {chain}"}
    max_failed_judgements: 1.0
    searches: [{kind: greedy}, {kind: best_of_n, num_samples: 2, select: best}]
tracking: {wandb: {mode: offline}}
"""
SECRET = "zq7secret"


def holding(folder: Path) -> list[Path]:
    """The files of a folder that hold the secret, or are called by it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    return [path for path in files if SECRET.encode() in path.read_bytes() or SECRET in str(path.relative_to(folder))]


@pytest.mark.slow
def test_no_byte_of_a_run_holds_a_value_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from o1kit.models.load import save_directory

    model, template = tiny(context=256)
    folder, data = tmp_path / f"{SECRET}-model", tmp_path / f"{SECRET}-data"
    save_directory(model, template.tokenizer, folder)
    data.mkdir()
    for name, first, count in (("train", 1, 8), ("held", 20, 4)):
        rows = [{"question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(first, first + count)]
        (data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    work = tmp_path / "work"
    work.mkdir()
    (work / "r.yaml").write_text(RECIPE)
    values = {
        "O1KIT_MODEL": str(folder),
        "O1KIT_DATA": str(data),
        "O1KIT_STEPS": "3",
        "O1KIT_RUBRIC": f"{SECRET} good?",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(work)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "o1kit", "run", "r.yaml", "--plain"]
    stopped = [*command, "--set", "stages.evaluate.max_failed_judgements=0"]
    first = subprocess.run(stopped, env=environment, capture_output=True, text=True, check=False)
    assert first.returncode == 6, first.stdout + first.stderr
    kept = work / "runs" / "hush"
    assert list(kept.rglob("checkpoints/*")), "what a stopped stage goes on from is there"
    assert holding(kept) == []
    assert main(command[3:]) == 0
    capsys.readouterr()
    assert main(command[3:]) == 0
    again = capsys.readouterr()
    assert again.out.count("already done") == 2, again.out + again.err
    (data / "train.jsonl").unlink()
    assert main(command[3:]) == 4
    broken = capsys.readouterr()
    assert "${env:O1KIT_DATA}/train.jsonl" in broken.err
    assert SECRET not in first.stdout + first.stderr + again.out + again.err + broken.out + broken.err
    assert holding(kept) == []
    recipe = json.loads((kept / "recipe.json").read_text())
    assert (recipe["model"]["source"], recipe["stages"][0]["steps"]) == ("${env:O1KIT_MODEL}", "${env:O1KIT_STEPS}")
    evaluate = json.loads((kept / "evaluate" / "config.json").read_text())
    assert evaluate["judge"]["rubric"] == "${env:O1KIT_RUBRIC} {problem} {chain}"
    assert list(kept.rglob("*.wandb"))
