"""The command line as a user meets it: real processes, exit codes, and no torch before `run`."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from o1kit.cli import main
from tests.recipe.test_loader import GOOD

NO_TORCH = """
import sys
from o1kit.cli import main
code = main(sys.argv[1:])
heavy = {"torch", "lightning", "transformers", "peft", "datasets", "wandb", "numpy", "reasoning_gym"} & set(sys.modules)
assert not heavy, heavy
sys.exit(code)
"""


def o1kit(*arguments: object, code: str | None = None) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-c", code] if code else [sys.executable, "-m", "o1kit"]
    return subprocess.run([*start, *map(str, arguments)], capture_output=True, text=True, timeout=60)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return path


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_checking_and_planning_import_nothing_heavy(command: str, recipe: Path) -> None:
    done = o1kit(command, recipe, code=NO_TORCH)
    assert done.returncode == 0, done.stderr
    assert "sft" in done.stdout


@pytest.mark.parametrize("command", ["schema", "plugins"])
def test_schema_and_plugins_import_nothing_heavy(command: str) -> None:
    done = o1kit(command, code=NO_TORCH)
    assert done.returncode == 0, done.stderr
    assert "mcts" in done.stdout


def test_help_and_version() -> None:
    assert "validate" in o1kit("--help").stdout
    assert o1kit("--version").stdout.startswith("o1kit 0.")


def test_schema_is_json() -> None:
    assert json.loads(o1kit("schema").stdout)["title"] == "Recipe"
    assert json.loads(o1kit("schema", "trees", code=NO_TORCH).stdout)["title"] == "TreeRecord"


def test_labels_are_shown_and_converted_without_anything_heavy(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "1+1=?", "completions": ["2"], "labels": [true]}\n')
    assert "1 good" in o1kit("labels", "show", tmp_path / "a.jsonl", "--from", "trl", code=NO_TORCH).stdout
    done = o1kit("labels", "convert", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--from", "trl", code=NO_TORCH)
    assert done.returncode == 0 and json.loads((tmp_path / "b.jsonl").read_text())["labels"] == [1.0]
    wrong = o1kit("labels", "show", tmp_path / "a.jsonl")
    assert wrong.returncode == 4 and "a.jsonl:1: problem" in wrong.stderr and "Traceback" not in wrong.stderr


def test_plan_as_json(recipe: Path) -> None:
    found = json.loads(o1kit("plan", recipe, "--json").stdout)
    rows = found["stages"]
    assert found["fits"] and found["levers"] == []
    assert [row["stage"] for row in rows] == ["sft", "prm", "ppo", "eval"]
    assert {row["state"] for row in rows} == {"to do"}


def test_a_wrong_recipe_gives_code_2_and_no_traceback(recipe: Path) -> None:
    recipe.write_text(GOOD.replace("steps: 5", "stepz: 5"))
    done = o1kit("run", recipe)
    assert done.returncode == 2
    assert f"{recipe}:18:5: stages[0].stepz: unknown key 'stepz'. Did you mean 'steps'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_recipe_gives_code_2() -> None:
    done = o1kit("validate", "nowhere.yaml")
    assert done.returncode == 2
    assert "no such file" in done.stderr


# What follows runs in this process, which has loaded torch already: `main` returns the exit code.


def test_an_unknown_stage_gives_code_2(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(recipe), "--runs-dir", str(tmp_path / "runs"), "--stage", "sfft"]) == 2
    assert "Did you mean 'sft'?" in capsys.readouterr().err


def test_an_unwritable_folder_gives_code_3(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["run", str(recipe), "--runs-dir", str(tmp_path / "file" / "runs")]) == 3
    assert capsys.readouterr().err.startswith("error: ")


def test_missing_data_gives_code_4(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(recipe), "--runs-dir", str(tmp_path / "runs")]) == 4
    assert "x.jsonl" in capsys.readouterr().err


def test_an_interrupted_command_says_how_to_go_on() -> None:
    code = """
import o1kit.report.tree
def stop(*_): raise KeyboardInterrupt
o1kit.report.tree.read_trees = stop
from o1kit.cli import main
raise SystemExit(main(["trees", "x"]))
"""
    done = o1kit(code=code)
    assert done.returncode == 130 and "run the same command again to go on" in done.stderr


def test_errors_that_quote_a_recipe_do_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = r'sources: [{kind: jsonl, path: "a\e]0;PWN\a\e[31m.jsonl"}]'
    text = re.sub(r"sources: \[.*\]", lambda _: source, GOOD)
    assert source in text
    (tmp_path / "r.yaml").write_text(text)
    for words in (["data", "show"], ["recipe", "lock"]):
        assert main([*words, str(tmp_path / "r.yaml")]) != 0
        told = capsys.readouterr().err
        assert r"a\x1b]0;PWN\x07\x1b[31m.jsonl" in told and "\x1b" not in told and "\x07" not in told


@pytest.mark.parametrize("words", [["--help"], ["run", "--nope"], ["recipe", "show", "quickstart"], ["recipe", "-h"]])
def test_a_terminal_without_colours_gets_no_styles_either(words: list[str]) -> None:
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "_TYPER_FORCE_DISABLE_TERMINAL")}
    for more, styled in (({}, True), ({"NO_COLOR": "1"}, False)):
        assert (b"\x1b[" in on_a_terminal(words, {**kept, "TERM": "xterm-256color", **more})) is styled


def on_a_terminal(words: list[str], environment: dict[str, str]) -> bytes:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "o1kit", *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        said = b""
        with suppress(OSError):  # Linux's way to say that nobody writes any more
            while piece := os.read(ours, 65536):
                said += piece
    os.close(ours)
    return said
