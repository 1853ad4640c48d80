"""The runner with real Lightning stages: skipping, changing, dying, continuing, and what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from o1kit import artifacts, registry, runner
from o1kit.artifacts import load_weights, read_artifact, read_done
from o1kit.control.lock import locked
from o1kit.errors import DataError, DivergedError, EnvironmentFailure, O1kitError, RecipeError, ResourceError
from o1kit.functional import secrets
from o1kit.tasks.config import JsonlConfig, SplitConfig
from tests import toy

ROOT = Path(__file__).parents[1]
TEN, TWENTY = "step-00000010.ckpt", "step-00000020.ckpt"


@pytest.fixture(autouse=True)
def toy_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILTIN, "stages", {**registry.BUILTIN["stages"], **toy.KINDS})


def weights(run: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_weights(run / stage / "model.safetensors")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def metrics(run: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "time"} for row in rows(run / "a" / "metrics.jsonl")]


KILL = """
import os, pathlib, sys
from tests import toy
for runs, kind, step in zip(*[iter(sys.argv[1:])] * 3):
    child = os.fork()  # loading the libraries takes longer than the runs
    if child == 0:
        toy.run(toy.plan(toy.stage("a", kind, kill_at=int(step))), pathlib.Path(runs))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9, kind
"""


def kill(folder: Path, **steps: int) -> dict[str, Path]:
    """Runs a toy stage of each kind in a process of its own, which kills itself (kill -9) at a step."""
    runs = {kind: folder / kind for kind in steps}
    words = [word for kind, step in steps.items() for word in (str(runs[kind]), kind, str(step))]
    done = subprocess.run([sys.executable, "-c", KILL, *words], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not any((found / "run" / "a" / "done.json").exists() for found in runs.values())
    return runs


@pytest.fixture(scope="module")
def killed_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What is left of a run over steps killed at step 27, and of one over rounds killed at step 5."""
    return kill(tmp_path_factory.mktemp("killed"), toy=27, toy_rounds=5)


@pytest.fixture
def killed(killed_runs: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the run killed at step 27, with checkpoints of steps 10 and 20."""
    shutil.copytree(killed_runs["toy"], tmp_path / "killed")
    assert sorted(f.name for f in (tmp_path / "killed/run/a/checkpoints").iterdir()) == [TEN, TWENTY]
    return tmp_path / "killed"


def test_a_run_leaves_every_file_and_marks_it_done(tmp_path: Path) -> None:
    run = toy.run(toy.plan(toy.stage("a"), toy.stage("b", inputs=("a",)), toy.stage("e", "toy_eval")), tmp_path)
    assert run == tmp_path / "run"
    for name in ("a", "b"):
        assert read_artifact(run / name) is not None
        assert {"config.json", "model.safetensors", "metrics.jsonl", "stage.json"} == set(
            read_done(run / name)["files"]
        )
        assert not (run / name / "checkpoints").exists()
    steps = [row["step"] for row in rows(run / "a" / "metrics.jsonl")]
    assert steps == [9, 19, 29]
    assert json.loads((run / "recipe.json").read_text())["name"] == "run"
    assert (run / "results.json").read_bytes() == (run / "e" / "results.json").read_bytes()
    assert read_done(run / "a")["summary"]["nothing"] is None


def test_a_second_run_skips_what_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = toy.plan(toy.stage("a"), toy.stage("e", "toy_eval", inputs=("a",)))
    run = toy.run(plan, tmp_path)
    before = (run / "a" / "done.json").stat().st_mtime_ns
    capsys.readouterr()
    toy.run(plan, tmp_path)
    out = capsys.readouterr().out
    assert "a: already done, skipped" in out
    assert "e: already done, skipped" in out
    assert "strawberry" in out, "the table and the answers are shown again"
    assert str(run) in out
    assert (run / "a" / "done.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_changed_stage_and_those_after_it_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later = toy.stage("c", inputs=("b",))
    toy.run(toy.plan(toy.stage("a"), toy.stage("b", inputs=("a",)), later), tmp_path)
    old = weights(tmp_path / "run", "b")
    capsys.readouterr()
    toy.run(toy.plan(toy.stage("a"), toy.stage("b", inputs=("a",), lr=0.2), later), tmp_path)
    out = capsys.readouterr().out
    assert "a: already done" in out
    assert "b: done in" in out
    assert "c: done in" in out, "its own section is the same, but its input has other weights"
    assert weights(tmp_path / "run", "b")["weight"] != old["weight"]
    assert load_weights(tmp_path / "run" / "b.previous" / "model.safetensors")["weight"] == old["weight"]


def test_a_damaged_artifact_runs_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = toy.run(toy.plan(toy.stage("a")), tmp_path)
    file = run / "a" / "model.safetensors"
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    toy.run(toy.plan(toy.stage("a")), tmp_path)
    assert file.read_bytes() == good


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "step"), [("toy", 20), ("toy_rounds", 4)])
def test_a_run_killed_in_the_middle_continues_to_the_same_weights(
    tmp_path: Path, killed_runs: dict[str, Path], kind: str, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = toy.run(toy.plan(toy.stage("a", kind)), tmp_path / "clean")
    again = toy.run(toy.plan(toy.stage("a", kind)), shutil.copytree(killed_runs[kind], tmp_path / "again"))
    assert f"resuming at stage a, step {step}" in capsys.readouterr().out
    for name, tensor in weights(clean, "a").items():
        assert torch.equal(tensor, weights(again, "a")[name])
    assert metrics(clean) == metrics(again), "every logged step appears once"
    if kind == "toy_rounds":
        assert rows(clean / "a" / "rollouts.jsonl") == rows(again / "a" / "rollouts.jsonl")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_a_checkpoint_and_ends_the_run(
    tmp_path: Path, number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(number)
    with pytest.raises(SystemExit) as left:
        toy.run(toy.plan(toy.stage("a", kill_at=13, kill_signal=int(number))), tmp_path)
    assert left.value.code == code
    assert signal.getsignal(number) is handler
    assert "saving a checkpoint" in capsys.readouterr().out
    toy.run(toy.plan(toy.stage("a")), tmp_path)
    assert "resuming at stage a, step 14" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_passed_over(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = killed / "run/a/checkpoints" / TWENTY
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    toy.run(toy.plan(toy.stage("a")), killed)
    assert "resuming at stage a, step 10" in capsys.readouterr().out


def test_checkpoints_of_another_configuration_are_not_used(
    tmp_path: Path, killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = toy.run(toy.plan(toy.stage("a", lr=0.3)), killed)
    assert "resuming" not in capsys.readouterr().out
    clean = toy.run(toy.plan(toy.stage("a", lr=0.3)), tmp_path / "clean")
    assert torch.equal(weights(clean, "a")["weight"], weights(other, "a")["weight"])


def test_data_that_end_early_are_noticed(killed: Path) -> None:
    (killed / "run/a/checkpoints" / TWENTY).unlink()
    with pytest.raises(O1kitError, match="20 of 30 steps"):
        toy.run(toy.plan(toy.stage("a", stop_short=True)), killed)


def test_a_loss_that_is_not_a_number_ends_the_run_before_it_reaches_the_weights(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="step 15"):
        toy.run(toy.plan(toy.stage("a", explode_at=15)), tmp_path)
    assert DivergedError.exit_code == 5
    assert [f.name for f in (tmp_path / "run" / "a" / "checkpoints").iterdir()] == [TEN]


def test_an_unwritable_folder_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailure, match="cannot be written"):
        toy.run(toy.plan(toy.stage("a")), tmp_path / "file")


def test_a_full_disk_is_refused_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "NEEDED_MB", 10**9)
    with pytest.raises(ResourceError, match="1000000000 MiB needed"):
        toy.run(toy.plan(toy.stage("a")), tmp_path)
    assert not (tmp_path / "run" / "a").exists()


def test_a_disk_that_fills_up_while_saving_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts.os, "fsync", full)
    with pytest.raises(ResourceError, match="no space left"):
        artifacts.write_atomic(tmp_path / "x", "y")
    assert list(tmp_path.iterdir()) == []


def test_two_processes_never_share_a_run(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(EnvironmentFailure, match="another o1kit process"),
        locked(tmp_path),
    ):
        pass


def test_selected_stages_need_the_ones_before_them(tmp_path: Path) -> None:
    plan = toy.plan(toy.stage("a"), toy.stage("b", inputs=("a",)), toy.stage("c", inputs=("b",)))
    with pytest.raises(RecipeError, match=r"stage 'b' needs 'a'.*--stage a\.\.b"):
        toy.run(plan, tmp_path, stages=["b"])
    run = toy.run(plan, tmp_path, stages=["a"])
    assert not (run / "b").exists()
    toy.run(plan, tmp_path, stages=["b..c"])
    assert read_artifact(run / "c") is not None


def test_selection_reads_names_and_ranges() -> None:
    names = ["a", "b", "c"]
    assert runner.select_stages(names, None) == names
    assert runner.select_stages(names, ["c", "a"]) == ["a", "c"]
    assert runner.select_stages(names, ["b.."]) == ["b", "c"]
    with pytest.raises(RecipeError, match=r"Write a\.\.b"):
        runner.select_stages(names, ["b..a"])
    with pytest.raises(RecipeError, match=r"no stage 'evl'.*Did you mean 'eval'"):
        runner.select_stages(["sft", "eval"], ["evl"])


@pytest.mark.slow
def test_wandb_offline_writes_one_run_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    run = toy.run(toy.plan(toy.stage("a", steps=10), toy.stage("e", "toy_eval"), wandb="offline"), tmp_path)
    files = sorted(run.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2
    assert all(b"toy/" in file.read_bytes() for file in files)
    assert b"eval/table" in files[1].read_bytes() + files[0].read_bytes()
    assert b"search/trees" in files[1].read_bytes() + files[0].read_bytes()


def test_a_changed_data_file_runs_what_was_made_of_it_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows_file = tmp_path / "rows.jsonl"
    split = SplitConfig(num_problems=1, sources=[JsonlConfig(kind="jsonl", path="rows.jsonl")])
    recipe = toy.ToyRecipe(name="run", tasks={"train": split})
    plan = toy.ToyPlan(recipe, (toy.stage("a"),))
    rows_file.write_text('{"question": "1+1?", "answer": "2"}')
    toy.run(plan, tmp_path)
    toy.run(plan, tmp_path)
    assert "a: already done" in capsys.readouterr().out
    rows_file.write_text('{"question": "1+1?", "answer": "3"}')
    toy.run(plan, tmp_path)
    assert "a: done in" in capsys.readouterr().out


def test_a_source_that_cannot_work_is_found_before_anything_runs(tmp_path: Path) -> None:
    split = SplitConfig(num_problems=1, sources=[JsonlConfig(kind="jsonl", path="nowhere.jsonl")])
    plan = toy.ToyPlan(toy.ToyRecipe(name="run", tasks={"train": split}), (toy.stage("a"),))
    with pytest.raises(DataError, match=r"nowhere\.jsonl"):
        toy.run(plan, tmp_path)
    assert not (tmp_path / "run" / "a").exists()


def test_a_value_of_the_environment_that_is_a_word_of_the_recipe_leaves_the_runs_own_files_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_known", {})
    for word in ("disabled", "config", "model.safetensors", "tracking"):
        secrets.remember(word, "${env:WORD}")
    plan = toy.plan(toy.stage("config", steps=2))
    run = toy.run(plan, tmp_path)
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["tracking"]["wandb"]["mode"] == "disabled"
    assert read_artifact(run / "config") is not None
    assert artifacts.sha256_of(run / "config" / "done.json") == artifacts.sha256_of(
        toy.run(plan, tmp_path) / "config" / "done.json"
    ), "it is not run again"
