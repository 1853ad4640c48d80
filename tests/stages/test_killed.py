"""Runs that are killed (kill -9) in the middle of their searches, as a user meets it: the same command goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

from o1kit.report.labels import read_labels
from o1kit.report.results import read_results
from o1kit.report.tree import read_chains, read_trees
from tests.alike import assert_alike
from tests.small import LETTERS, RECIPE

ROOT = Path(__file__).parents[2]
SFT, PRM, PPO, EVALUATE = RECIPE["stages"]
MCTS = {"kind": "mcts", "num_simulations": 8, "num_children": 3}
BEAM = {"kind": "beam", "num_beams": 2, "num_children": 3, "max_steps": 6}
BEST = {"kind": "best_of_n", "num_samples": 4}
LABELS = {"kind": "omega", "num_problems": 100, "rollouts": 6, "completions": 2, "keep": "all"}
STAGES = [
    SFT,
    PRM,
    {"kind": "labels", "name": "labels", "policy": "sft", "source": LABELS},
    {"kind": "rollout", "name": "rollout", "policy": "sft", "judge": "prm", "num_problems": 40, "search": MCTS},
    EVALUATE | {"policies": ["sft"], "searches": [BEST, MCTS, BEAM]},
    PPO | {"search": MCTS, "iterations": 2, "problems_per_iteration": 12, "checkpoint_every": 1},
]
TASKS = RECIPE["tasks"] | {"heldout": {"num_problems": 30, "sources": [LETTERS]}}


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "o1kit", "run", str(folder / "r.yaml"), f"--runs-dir={folder}", "--plain", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(folder: Path, stages: str) -> str:
    done = subprocess.run(
        command(folder, "--stage", stages), capture_output=True, text=True, timeout=240, env=environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kill(folder: Path, stage: str, journals: str, replies: int) -> int:
    """Kills a run as soon as so many replies are in the journals, and returns how many there are."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command(folder, "--stage", stage), stdout=quiet, stderr=quiet, start_new_session=True, env=environment()
    )
    deadline = time.monotonic() + 120
    while _replies(folder / "small" / stage, journals) < replies and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "small" / stage / "done.json").exists()
    return _replies(folder / "small" / stage, journals)


def _replies(folder: Path, journals: str) -> int:
    found = [path.read_bytes().count(b"\n") - 1 for path in folder.glob(f"checkpoints/{journals}")]
    return sum(n for n in found if n > 0)


def summary(folder: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "small" / stage / "done.json").read_text())["summary"]
    return found


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was left in peace, with all its stages."""
    folder = tmp_path_factory.mktemp("begun")
    with (folder / "r.yaml").open("w") as file:
        YAML(typ="safe").dump(RECIPE | {"stages": STAGES, "tasks": TASKS}, file)
    run(folder, "sft..ppo")
    return folder


@pytest.fixture
def folders(begun: Path, tmp_path: Path) -> tuple[Path, Path]:
    """It, and one of which only policy and reward model are trained: to be killed."""
    killed = tmp_path / "killed"
    shutil.copytree(begun, killed, ignore=shutil.ignore_patterns("labels", "rollout", "evaluate", "ppo"))
    return begun, killed


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["labels", "rollout", "evaluate"])
def test_a_killed_search_goes_on_to_the_same_files(stage: str, folders: tuple[Path, Path]) -> None:
    whole, killed = folders
    expected = summary(whole, stage)
    kept = kill(killed, stage, "journal-*", expected["journal"]["recorded"] // 3)
    assert kept < expected["journal"]["recorded"]
    output = run(killed, stage)
    assert f"resuming: {kept} replies recorded before" in output
    found = summary(killed, stage)
    assert found["journal"]["reused"] == kept, "every recorded reply was used"
    assert found["journal"]["recorded"] == expected["journal"]["recorded"] - kept, "and only the rest computed"
    assert found["journal"]["reused_tokens"] > 0
    ignored = {"journal": 0, "tokens_prompt": 0, "tokens_cached": 0}  # the cache begins empty
    assert_alike(found | ignored, expected | ignored)
    names = [whole / "small" / stage, killed / "small" / stage]
    if stage == "labels":
        first, second = (list(read_labels(folder / "labels.jsonl")) for folder in names)
        # Log-probabilities are kept to four digits, of which the last may depend on what was computed together.
        silent = [[r.model_copy(update={"step_logprobs": []}) for r in part] for part in (second, first)]
        assert_alike(*silent)
        told = [[x for r in part for step in r.step_logprobs for x in step] for part in (second, first)]
        assert told[0] == pytest.approx(told[1], abs=2e-4)
        assert len(first) > 200 and sum(r.tokens for r in first) == found["tokens_generated"]
    elif stage == "rollout":
        for name, read in (("trees.jsonl", read_trees), ("chains.jsonl", read_chains)):
            first, second = (list(read(folder / name)) for folder in names)
            assert_alike(second, first, name)
        assert len(first) > 40
    else:
        first, second = (list(read_trees(folder / "trees.json")) for folder in names)
        assert_alike(second, first)
        rows = [read_results(folder / "results.json").rows for folder in names]
        assert_alike([_without_computed(row) for row in rows[1]], [_without_computed(row) for row in rows[0]])
        spent = [[row.extra["computed_per_problem"] for row in part] for part in rows]
        for a, b in zip(*spent, strict=True):
            assert b["policy"].keys() == a["policy"].keys()
            for name in a["policy"]:
                if name.endswith("generated"):
                    assert b["policy"][name] >= a["policy"][name] - 1e-9, "what was computed before the kill counts"
    assert not (names[1] / "checkpoints").exists()


def _without_computed(row: Any) -> list[Any]:
    fields = [getattr(row, name) for name in row.__slots__]
    return [*fields[:-1], {key: value for key, value in row.extra.items() if key != "computed_per_problem"}]


@pytest.mark.slow
def test_a_round_of_ppo_that_was_killed_goes_on_where_it_was(folders: tuple[Path, Path]) -> None:
    _, killed = folders
    kept = kill(killed, "ppo", "journal-00001.jsonl", 60)
    output = run(killed, "ppo")
    assert "resuming at stage ppo" in output
    (reused,) = re.findall(r"resuming: (\d+) replies recorded before are taken from journal-00001", output)
    assert int(reused) == kept >= 60
    rounds = [
        [json.loads(line) for line in (folder / "small/ppo/rollouts.jsonl").read_text().splitlines()][:8]
        for folder in folders
    ]
    assert {row["iteration"] for row in rounds[0]} == {0, 1}
    assert rounds[0] == rounds[1], "the chains of the round before and of the one that was killed"
    weights = [load_file(folder / "small/ppo/model.safetensors") for folder in folders]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=0, atol=1e-4, msg=name)
    tokens = [_logged(folder / "small/ppo/metrics.jsonl", "search/tokens")[:2] for folder in folders]
    assert tokens[0][0] == tokens[1][0] and tokens[1][1] >= tokens[0][1]


def _logged(path: Path, name: str) -> list[float]:
    return [row[name] for row in map(json.loads, path.read_text().splitlines()) if name in row]
