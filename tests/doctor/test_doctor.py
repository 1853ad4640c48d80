"""`o1kit doctor`: what it must find, found; each check against a case made for it."""

from __future__ import annotations

import json
import os
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from o1kit.artifacts import write_done, write_json
from o1kit.cli import main
from o1kit.doctor.machine import disk_checks, existing, machine_checks
from o1kit.doctor.packages import installed_versions, known_bad, plugin_checks, requirement_checks
from o1kit.doctor.run import run_checks, stage_checks
from o1kit.doctor.services import service_checks
from o1kit.doctor.smoke import attempt
from o1kit.registry import Installed
from tests.test_cli import NO_TORCH, o1kit


@pytest.mark.parametrize(
    ("name", "version", "bad"),
    [
        ("lightning", "2.6.2", True),
        ("lightning", "2.6.3", True),
        ("lightning", "2.6.6", False),
        ("torch", "2.9.1+cu128", True),
        ("torch", "2.10.0", False),
        ("torch", "2.13.0+cpu", False),
    ],
)
def test_versions_known_to_be_bad_are_found(name: str, version: str, bad: bool) -> None:
    assert [check.level for check in known_bad({name: version})] == ["fail"] * bad


def test_requirements_are_compared_with_what_is_installed() -> None:
    wanted = [
        Requirement(text)
        for text in (
            "torch>=2.10,<3",
            "absent>=1",
            "transformers>=5,<6",
            'quant>=2; extra == "q"',
            'no>=1; extra == "q"',
        )
    ]
    checks = list(requirement_checks(wanted, {"torch": "2.10.0+cpu", "transformers": "4.57.0", "quant": "1.0"}))
    found = [(check.level, check.text.split()[0]) for check in checks]
    assert found == [("fail", "absent"), ("fail", "transformers"), ("warn", "quant"), ("ok", "1")]
    assert checks[1].remedy == "pip install 'transformers<6,>=5'"


def test_this_installation_has_what_it_needs() -> None:
    installed = installed_versions()
    assert {"torch", "lightning", "o1kit", "ruamel-yaml"} <= set(installed)
    assert not list(known_bad(installed))


def test_plugins_of_one_name_are_told_by_their_metadata() -> None:
    entry = EntryPoint("x", "nowhere:plugin", "o1kit.searches")
    found = [
        Installed("searches", kind, package, "1.0", entry)
        for kind, package in (("mine", "first"), ("mine", "second"), ("mcts", "third"))
    ]
    levels = {check.text.partition(":")[0]: check.level for check in plugin_checks(found)}
    assert levels == {
        "third 1.0": "warn",
        "searches mine comes from first 1.0 and second 1.0": "fail",
        "2 installed": "ok",
    }


def test_a_folder_is_really_written_to(tmp_path: Path) -> None:
    assert [check.level for check in disk_checks("runs folder", tmp_path)] != ["fail"]
    assert list(tmp_path.iterdir()) == [], "nothing stays"
    (tmp_path / "file").write_text("")
    assert [check.level for check in disk_checks("runs folder", tmp_path / "file")] == ["fail"]
    assert existing(tmp_path / "a" / "b") == tmp_path


def test_the_machine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    found = {check.name: check for check in machine_checks(tmp_path / "runs")}
    assert set(found) == {"runs folder", "TMPDIR", "memory", "cores", "clock", "confinement", "C compiler"}
    monkeypatch.setenv("CC", "/nowhere/cc")
    told = {check.name: check for check in machine_checks(tmp_path / "runs")}["C compiler"]
    assert (told.level, "set CC" in (told.remedy or "")) == ("warn", True)
    assert found["cores"].level == "warn"
    assert (
        found["cores"].remedy
        == f"More threads than cores are slow: export OMP_NUM_THREADS={len(os.sched_getaffinity(0))}"
    )
    assert not (tmp_path / "runs").exists()


def test_keys_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k3y-of-someone")
    text = "\n".join(check.text for check in service_checks())
    assert "a key is set" in text
    assert "k3y" not in text


def test_a_trial_that_hangs_crashes_or_fails_is_an_outcome() -> None:
    assert attempt("print('{\"a\": 1}')").result == {"a": 1}
    assert attempt("import time; time.sleep(60)", timeout_s=0.5).reason == "no answer within 0.5 s"
    assert attempt("import os; os.kill(os.getpid(), 11)").reason == "killed by SIGSEGV"
    assert attempt("raise ValueError('no kernel')").reason == "ValueError: no kernel"
    assert attempt("print('no json')").result is None


@pytest.mark.slow
def test_all_that_is_tried_out_works_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    levels = {row["name"]: row["level"] for row in json.loads(capsys.readouterr().out)}
    assert levels["torch"] == "ok" and {levels[name] for name in ("4-bit weights", "torch.compile")} <= {"ok", "warn"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with one finished stage and one that was stopped, as its folder tells."""
    folder = tmp_path / "run"
    for name in ("done", "open"):
        (folder / name).mkdir(parents=True)
        (folder / name / "metrics.jsonl").write_text('{"step": 9, "sft/loss": 0.5}\n')
    (folder / "done" / "model.safetensors").write_bytes(b"weights")
    write_done(folder / "done", "done", "sft", "f", summary={"judgements": 100, "failed_judgements": 5})
    checkpoints = folder / "open" / "checkpoints"
    checkpoints.mkdir()
    for step in (10, 20):
        with zipfile.ZipFile(checkpoints / f"step-{step:08d}.ckpt", "w") as archive:
            archive.writestr("data", os.urandom(1000))
    write_json(folder / "recipe.json", {"stages": [{"name": "done"}, {"name": "open"}]})
    return folder


def told(folder: Path, name: str) -> list[tuple[str, str]]:
    return [(check.level, check.text) for check in run_checks(folder) if check.name == name]


def test_a_run_in_order_is_told_so(run: Path) -> None:
    assert told(run, "stage open") == [("ok", "2 checkpoints intact, the newest step-00000020.ckpt")]
    assert told(run, "stage done") == [
        ("ok", "finished, every file as it was written"),
        ("warn", "5 judgements failed, 5.0% of all"),
    ]
    assert [level for level, _ in told(run, "recipe")] == ["warn"], "this one is no recipe any more"


def test_damage_is_found_by_checksums(run: Path) -> None:
    (run / "done" / "model.safetensors").write_bytes(b"weightz")
    assert told(run, "stage done")[0][0] == "fail"
    newest = run / "open" / "checkpoints" / "step-00000020.ckpt"
    content = bytearray(newest.read_bytes())
    content[500] ^= 1
    newest.write_bytes(content)
    damaged = ("warn", "damaged: step-00000020.ckpt; step-00000010.ckpt is intact")
    assert told(run, "stage open") == [damaged]
    (run / "open" / "checkpoints" / "step-00000010.ckpt").write_bytes(b"PK")
    assert told(run, "stage open")[0][0] == "fail"


def test_a_loss_that_is_no_number_is_found(run: Path) -> None:
    with (run / "open" / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 19, "sft/loss": null}\n{"step": 29, "sft/lo')
    assert ("fail", "the loss at step 19 is not a number") in [(c.level, c.text) for c in stage_checks(run / "open")]


def test_a_failed_run_gives_code_3_and_nothing_heavy_is_imported(run: Path) -> None:
    (run / "attempts").mkdir()
    record = {"number": 1, "process": {"pid": 0}, "started": 1.0, "ended": 2.0, "exit_code": 5, "error": "step 3: nan"}
    (run / "attempts" / "1.json").write_text(json.dumps(record | {"stages": ["done", "open"]}))
    done = o1kit("doctor", "--run", run, "--json", code=NO_TORCH)
    assert done.returncode == 3, done.stderr
    first = json.loads(done.stdout)[0]
    assert (first["name"], first["level"], first["text"]) == ("state", "fail", "failed: step 3: nan")
    assert "Lower optimizer.lr" in first["remedy"]
