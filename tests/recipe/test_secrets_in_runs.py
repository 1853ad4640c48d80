"""A run with values from the environment, in a real process: no byte of what it leaves or prints holds one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
  - kind: rollout
    name: rollout
    policy: sft
    split: heldout
    num_problems: 2
    judge: {kind: judge, rubric: "${env:O1KIT_RUBRIC} {problem} {chain}"}
    search: {kind: best_of_n, num_samples: 2}
  - {kind: evaluate, name: evaluate, policies: [sft], searches: [{kind: greedy}]}
tracking: {wandb: {mode: offline}}
"""
SECRET = "zq7secret"


@pytest.mark.slow
def test_no_byte_of_a_run_holds_a_value_of_the_environment(tmp_path: Path) -> None:
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
    environment = {**os.environ, **values, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "o1kit", "run", "r.yaml", "--plain"]
    first = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    again = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert again.stdout.count("already done") == 3, again.stdout + again.stderr
    (data / "train.jsonl").unlink()
    broken = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert broken.returncode == 4
    assert "${env:O1KIT_DATA}/train.jsonl" in broken.stderr
    for said in (first, again, broken):
        assert SECRET not in said.stdout + said.stderr
    kept = work / "runs" / "hush"
    files = [path for path in kept.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if SECRET.encode() in path.read_bytes() or SECRET in str(path)] == []
    assert json.loads((kept / "sft" / "config.json").read_text())["steps"] == "${env:O1KIT_STEPS}"
    assert json.loads((kept / "recipe.json").read_text())["model"]["source"] == "${env:O1KIT_MODEL}"
    assert any(path.suffix == ".wandb" for path in files)
