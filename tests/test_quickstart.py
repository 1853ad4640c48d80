"""The quickstart recipe end to end at a reduced budget, as a user runs it: processes, files, second and killed runs."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from o1kit.cli import main
from tests.test_readme import EQUAL_TOKENS, EVALUATED, PART, REPLAY, SEEDS

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "quickstart.yaml"
REDUCED = {
    "tasks.train.num_problems": 400,
    "tasks.heldout.num_problems": 18,
    "tasks.harder.num_problems": 12,
    "model.hidden_size": 64,
    "model.num_layers": 2,
    "stages.sft.steps": 60,
    "stages.sft.checkpoint_every": 10,
    "stages.prm.labels.num_problems": 12,
    "stages.prm.steps": 5,
    "stages.prm.one_sided": "train",
    "stages.ppo.iterations": 3,
    "stages.ppo.checkpoint_every": 1,
    "stages.ppo.problems_per_iteration": 6,
    "stages.ppo.batch_size": 16,
}
STAGES = ["sft", "prm", "ppo", "evaluate"]


def command(runs: Path, *more: str) -> list[str]:
    changes = [f"--set={key}={value}" for key, value in REDUCED.items()]
    return [sys.executable, "-m", "o1kit", "run", str(RECIPE), "--runs-dir", str(runs), *changes, *more]


def run(runs: Path, *more: str, code: int = 0) -> str:
    done = subprocess.run(command(runs, *more), capture_output=True, text=True, timeout=280)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def run_and_kill(runs: Path, stage: str, *more: str) -> None:
    """Kills (kill -9) a run as soon as a stage has left a checkpoint."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command(runs, *more), stdout=quiet, stderr=quiet, start_new_session=True)
    checkpoints = runs / "quickstart" / stage / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    runs = tmp_path_factory.mktemp("runs")
    return runs / "quickstart", run(runs)


@pytest.mark.slow
def test_every_stage_leaves_its_files(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    for stage in STAGES:
        done = json.loads((folder / stage / "done.json").read_text())
        assert done["kind"] == stage
        assert (folder / stage / "config.json").is_file()
        assert (folder / stage / "metrics.jsonl").stat().st_size > 0
    for stage in STAGES[:3]:
        assert (folder / stage / "model.safetensors").is_file()
        assert not (folder / stage / "checkpoints").exists()
    for file in ("prm/labels.jsonl", "ppo/rollouts.jsonl"):
        lines = (folder / file).read_text().splitlines()
        assert lines and all(json.loads(line) for line in lines)
    assert list((folder / "wandb").rglob("*.wandb")), "offline W&B data"


@pytest.mark.slow
def test_metrics_have_their_names(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    names: dict[str, set[str]] = {}
    for stage in STAGES[:3]:
        lines = (folder / stage / "metrics.jsonl").read_text().splitlines()
        names[stage] = {key for line in lines for key in json.loads(line)}
    assert names["sft"] >= {"sft/loss"}
    assert names["prm"] >= {"prm/loss", "prm/acc"}
    wanted = {f"search/{name}" for name in ("solved", "tokens", "depth", "branching", "value_mean", "entropy")}
    wanted |= {f"ppo/{name}" for name in ("ratio_mean", "clip_frac", "kl_old", "kl_ref", "entropy", "adv_std", "ev")}
    wanted |= {f"per/{name}" for name in ("beta", "prio_max", "is_mean", "staleness")}
    assert names["ppo"] >= wanted | {"rollout/logprob_absdiff_max"}
    summary = json.loads((folder / "prm" / "done.json").read_text())["summary"]
    assert summary.keys() >= {"prm/ece", "prm/f1_ok", "prm/f1_err"}
    gaps = [
        json.loads(line)["rollout/logprob_absdiff_max"]
        for line in (folder / "ppo" / "metrics.jsonl").read_text().splitlines()
        if "rollout/logprob_absdiff_max" in line
    ]
    assert max(gaps) < 1e-4


@pytest.mark.slow
def test_results_and_table(finished: tuple[Path, str]) -> None:
    folder, output = finished
    results = json.loads((folder / "results.json").read_text())
    rows = {(row["policy"], row["search"], row["split"]) for row in results["rows"]}
    assert len(rows) == len(results["rows"]) >= 2 * 2 * 5
    for row in results["rows"]:
        assert 0 <= row["ci_low"] <= row["accuracy"] <= row["ci_high"] <= 1
        assert row["tokens_per_problem"] > 0
        assert row["search"] in output
    assert "strawberry" in output
    assert str(folder) in output.replace("\n", "")
    assert json.loads((folder / "evaluate" / "trees.json").read_text())


@pytest.mark.slow
def test_artifacts_are_plain_hugging_face_folders(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    model = AutoModelForCausalLM.from_pretrained(folder / "ppo")
    tokenizer = AutoTokenizer.from_pretrained(folder / "ppo")
    ids = tokenizer("Spell this word backward (example: sun -> nus): nut\n", return_tensors="pt").input_ids
    assert model(ids).logits.shape[-1] == len(tokenizer)


@pytest.mark.slow
def test_a_second_run_skips_and_a_changed_stage_runs_again(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder = shutil.copytree(finished[0], tmp_path / "quickstart")
    before = {stage: (folder / stage / "done.json").stat().st_mtime_ns for stage in STAGES}
    output = run(folder.parent)
    assert output.count("already done, skipped") == 4
    assert before == {stage: (folder / stage / "done.json").stat().st_mtime_ns for stage in STAGES}
    searches = "[{kind: greedy}, {kind: beam, num_beams: 2, num_children: 2}]"
    part = shlex.split(PART)[3:]  # as README says it: with a change, and some stages only
    assert part[0] == "--set" and part[-2:] == ["--stage", "ppo..evaluate"]
    output = run(folder.parent, f"--set=stages.evaluate.searches={searches}", *part)
    assert output.count("beam 2x2 (best)") >= 2, "a row for each policy"
    after = {stage: (folder / stage / "done.json").stat().st_mtime_ns for stage in STAGES}
    assert [stage for stage in STAGES if after[stage] != before[stage]] == ["ppo", "evaluate"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "fewer", "shows"),
    [
        (EVALUATED, ["--num-problems", "4"], "pass@8 (oracle)"),
        (EQUAL_TOKENS, ["--splits", "harder", "--policies", "sft"], "mcts 8x4 chain"),
    ],
)
def test_what_readme_does_with_the_run(
    said: str, fewer: list[str], shows: str, finished: tuple[Path, str], tmp_path: Path
) -> None:
    """The command as it is written, of fewer problems."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/quickstart").symlink_to(finished[0])
    (tmp_path / "recipes").symlink_to(RECIPE.parent)
    program, *words = shlex.split(said)
    words = [sys.executable, *(["-m", "o1kit"] if program == "o1kit" else []), *words, *fewer]
    paths = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=paths, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert shows in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "more", "shows"),
    [(SEEDS, [], "pass@1"), (REPLAY, ["--seconds", "1", "--iterations", "2"], "iterations on_policy: ")],
)
def test_what_readme_does_with_several_seeds(
    said: str, more: list[str], shows: str, finished: tuple[Path, str], tmp_path: Path
) -> None:
    """The command as it is written, of one seed and a smaller model: its first stages are there already."""
    for stage in STAGES:
        shutil.copytree(finished[0] / stage, tmp_path / "quickstart-seed-1" / stage)
    changes = [f"--set={k}={v}" for k, v in REDUCED.items() if said == SEEDS or not k.startswith("stages.ppo")]
    words = [sys.executable, *shlex.split(said)[1:], "--seeds", "1", "--runs-dir", str(tmp_path), *more, *changes]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert shows in done.stdout and "prm: already done, skipped" in done.stdout


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    run_and_kill(tmp_path, "sft", "--stage", "sft", "--set=stages.sft.steps=150")
    assert not (tmp_path / "quickstart" / "sft" / "done.json").exists()
    output = run(tmp_path, "--stage", "sft", "--set=stages.sft.steps=150")
    assert "resuming at stage sft, step" in output
    metrics = [json.loads(line) for line in (tmp_path / "quickstart/sft/metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in metrics if "sft/loss" in row]
    assert steps == sorted(set(steps)), "no step is logged twice"


@pytest.mark.slow
def test_ppo_killed_between_rounds_goes_on_to_the_same_weights(finished: tuple[Path, str], tmp_path: Path) -> None:
    """Round, replay buffer, random streams and optimizer all come back: the weights are those of one unbroken run.

    Not to the last bit: the round that was killed goes on with the replies it had, and batches the others otherwise.
    """
    killed = tmp_path / "quickstart"
    for stage in ("sft", "prm"):
        shutil.copytree(finished[0] / stage, killed / stage)
    run_and_kill(tmp_path, "ppo", "--stage", "ppo")
    assert not (killed / "ppo" / "done.json").exists()
    assert "resuming at stage ppo" in run(tmp_path, "--stage", "ppo")
    weights = [load_file(folder / "ppo" / "model.safetensors") for folder in (finished[0], killed)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=0, atol=1e-4, msg=name)


@pytest.mark.slow
def test_a_prompt_longer_than_the_context_is_an_error_of_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path, "--set=model.context_length=32")[3:]) == 4
    assert "fit the model's context of 32" in capsys.readouterr().err


@pytest.mark.slow
def test_an_impossible_number_of_problems_is_an_error_of_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "[{kind: reasoning_gym, generator: chain_sum, params: {min_terms: 2, max_terms: 2, max_digits: 1}}]"
    assert main(command(tmp_path, f"--set=tasks.train.sources={source}")[3:]) == 4
    assert "different problems" in capsys.readouterr().err


@pytest.mark.slow
def test_an_unknown_generator_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    output = run(tmp_path, "--set=tasks.train.sources=[{kind: reasoning_gym, generator: chain_sums}]", code=2)
    assert "chain_sum" in output
    assert not (tmp_path / "quickstart" / "sft").exists()
