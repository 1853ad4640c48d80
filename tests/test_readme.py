"""Every command of README and of the pages in docs/: executed as written, or listed here with the reason why not."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from o1kit.cli import main
from o1kit.recipe.loader import load_recipe
from tests.report.test_label_files import phase, step

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "plugins/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
EVALUATED = "o1kit eval runs/quickstart/ppo --tasks recipes/quickstart.yaml --search greedy --search sample:8"
PART = "o1kit run recipe.yaml --set stages.ppo.loss.kl_coef=0.05 --stage ppo..evaluate"
EQUAL_TOKENS = "python -m benchmarks.equal_tokens runs/quickstart"
SEEDS, REPLAY = "python -m benchmarks.quickstart_seeds", "python -m benchmarks.ppo_replay"
"""Need a run of the quickstart: tests/test_quickstart.py has one, and executes them."""
SERVER = "python -m benchmarks.server http://127.0.0.1:8000/v1 path/to/model"
OWN_TESTS = {
    "docs/recipes.md": "tests/recipe/test_language_page.py",
    "docs/runs.md": "tests/control/test_runs_under_control.py",
}
"""Pages whose commands other tests execute: in order and with what they print, or on runs that take their time."""
SECTION = "## Your first own recipe\n"
"""Executed as a whole, see below."""
NOT_RUN = {
    "make quickstart": "minutes of training; tests/test_quickstart.py runs it",
    "make test": "the tests themselves",
    "make format": "changes the files",
    'make test PYTEST_ARGS="tests/search -x"': "the tests themselves",
    'pytest -m "not slow"': "the tests themselves",
    "o1kit doctor": "half a minute of trying things out; tests/doctor runs it",
    "o1kit plan recipe.yaml --probe": "half a minute of measuring; tests/planning/test_command.py measures",
    "pytest --o1kit-plugin searches:my_kind --o1kit-section 'num_samples: 4'": (
        "needs an installed plugin of that name; tests/testing runs the kit"
    ),
    "o1kit --install-completion": "changes the settings of your shell; tests/test_completion.py completes",
    "pip install ./plugins/<name>": "tests/test_shipped_plugins.py installs each of them",
    EVALUATED: "needs a run of the quickstart, see there",
    EQUAL_TOKENS: "needs a run of the quickstart, see there",
    SEEDS: "an hour or two of training; a smaller run of the quickstart, see there",
    REPLAY: "minutes of training; a smaller run of the quickstart, see there",
    SERVER: "needs a server; tests/engines/test_http_engine.py has one, and executes it",
    "python -m benchmarks.graders --data FOLDER": "needs data sets; tests/tasks/test_graders.py runs its parts",
    "python -m benchmarks.plan_accuracy --recipes recipes/quickstart.yaml recipes/smollm2-lora.yaml --runs-dir D": (
        "trains both recipes"
    ),
}
NETWORK = re.compile(r" --network\b")
"""Not run: tests have no network. tests/sharing pulls from servers and repositories on this machine."""
TRAINS = re.compile(r"^o1kit run ")
"""Rehearsed with `--dry-run`, and all stages: a part of them needs the others finished (see `PART`)."""
STAGE = re.compile(r" --stage \S+")
BENCHMARK = re.compile(r"`(python -m benchmarks\.[^`]+)`")
"""Within a text, not in a block."""
NAMED = re.compile(r"`(o1kit [^`]+)`")
"""Within a text of README, where it is more than the name of a command."""
NAMES = {"o1kit labels convert", "o1kit recipe lock", "o1kit recipe new", "o1kit trees FILE"}
COMMAND = re.compile(r"^(?:\$ )?((?:o1kit|make|pytest|python -m|pip) .+)$")


def fences(text: str, language: str) -> list[str]:
    """The fenced blocks of one language, without their indentation."""
    found = re.findall(rf"(?ms)^( *)```{language}\n(.*?)^ *```$", text)
    return ["\n".join(line.removeprefix(indent) for line in body.splitlines()) + "\n" for indent, body in found]


def commands(page: Path) -> list[str]:
    """Lines of code blocks that are commands, without their comments."""
    text = page.read_text().split(SECTION)
    rest = text[0] + "".join(part.partition("\n## ")[2] for part in text[1:])
    lines = [line for block in fences(rest, "(?:sh|console)") for line in block.splitlines()]
    lines += [line.strip() for line in rest.splitlines() if line.startswith("    ")]
    found = (COMMAND.match(line) for line in lines)
    inline = [c for c in NAMED.findall(page.read_text()) if c not in NAMES] if page == PAGES[0] else []
    return [match[1].partition("  #")[0].strip() for match in found if match] + BENCHMARK.findall(rest) + inline


def all_commands() -> list[str]:
    pages = (page for page in PAGES if page.relative_to(ROOT).as_posix() not in OWN_TESTS)
    return list(dict.fromkeys(command for page in pages for command in commands(page)))


def test_nothing_is_listed_in_vain() -> None:
    assert set(NOT_RUN) <= set(all_commands())
    assert {PART} <= set(all_commands())
    assert all((ROOT / page).is_file() and (ROOT / test).is_file() for page, test in OWN_TESTS.items())


def test_benchmarks_that_are_not_run_have_the_options_that_are_named() -> None:
    named = [shlex.split(command)[2:] for command in NOT_RUN if command.startswith("python -m benchmarks.")]
    for module, *words in named:
        text = (ROOT / f"{module.replace('.', '/')}.py").read_text()
        assert all(f'add_argument("{word}"' in text for word in words if word.startswith("-")), module


RUN = """
o1kit: 1
name: quickstart
model: {kind: scratch, hidden_size: 16, num_layers: 1, num_heads: 2, num_kv_heads: 1, context_length: 64}
tasks:
  train: {num_problems: 4, sources: [{kind: jsonl, path: problems.jsonl}]}
  heldout: {num_problems: 4, sources: [{kind: jsonl, path: problems.jsonl}]}
stages:
  - {kind: evaluate, name: evaluate, policies: [model], searches: [{kind: greedy}, {kind: sample, num_samples: 2}]}
tracking: {wandb: {mode: disabled}}
"""


def lay_out(folder: Path) -> None:
    """Puts all that the commands name into a folder: the page's own recipe, small runs, labels."""
    page = (ROOT / "README.md").read_text()
    (folder / "recipe.yaml").write_text(next(block for block in fences(page, "yaml") if "name: my-run" in block))
    rows = [{"question": f"{i}+{i}=?", "answer": str(2 * i)} for i in range(500)]
    (folder / "problems.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "prices.yaml").write_text("{currency: EUR, per_hour: {cpu: 0.05}}")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    (folder / "small.yaml").write_text(RUN)
    sft = "stages:\n  - {kind: sft, name: sft, steps: 1}\n"
    (folder / "letters.yaml").write_text(RUN.replace("stages:\n", sft))
    assert main(["run", str(folder / "small.yaml"), "--runs-dir", str(folder / "runs"), "--plain"]) == 0
    for copy in ("first", "second", "mine"):
        shutil.copytree(folder / "runs/quickstart", folder / "runs" / copy)
    (folder / "phase2_train.jsonl").write_text(json.dumps(phase([step(("a", 1)), step(("b", -1))])))
    (folder / "p.yaml").write_text("{currency: EUR, per_hour: {cpu: 0.05, h200: 3.0}, kwh: 0.3, watts: 65}")
    stage = folder / "runs/NAME/STAGE"
    stage.mkdir(parents=True)
    label = {"problem": "p", "prompt": "p?", "steps": ["a\n", "b"], "labels": [1.0, 0.0]}
    (stage / "labels.jsonl").write_text(json.dumps(label | {"provenance": {"source": "test"}}))


@pytest.mark.slow
def test_every_command_does_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    failed = {}
    for command in all_commands():
        if command in NOT_RUN or NETWORK.search(command):
            continue
        trains = TRAINS.match(command)
        program, *words = shlex.split(f"{STAGE.sub('', command)} --dry-run" if trains else command)
        assert program == "o1kit", f"{command}: list it in NOT_RUN, or teach this test to run it"
        capsys.readouterr()
        if main(words) != 0:
            failed[command] = capsys.readouterr().err
    assert failed == {}


def first_steps() -> tuple[list[str], list[str]]:
    """The shell blocks and the edits of the newcomer's section, in the order in which they stand."""
    section = (ROOT / "README.md").read_text().partition(SECTION)[2].partition("\n## ")[0]
    return fences(section, "sh"), fences(section, "yaml")


def edited(text: str, edit: str) -> str:
    """A recipe with one of its top-level sections written anew."""
    key = edit.partition(":")[0]
    made, count = re.subn(rf"(?ms)^{key}:.*?(?=^[a-z]|\Z)", lambda _: f"{edit}\n", text)
    assert count == 1
    return made


@pytest.mark.slow
def test_the_first_own_recipe_exactly_as_written(tmp_path: Path) -> None:
    """In a real shell; the edits are made between the second and the last block, as a reader makes them."""
    (tmp_path / "bin").mkdir()
    for name, words in (("python", ""), ("o1kit", "-m o1kit")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        program.chmod(0o755)
    paths = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    desk = tmp_path / "desk"
    desk.mkdir()

    def shell(block: str) -> str:
        words = ["sh", "-e", "-c", block]
        done = subprocess.run(words, cwd=desk, env=os.environ | paths, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (problems, copied, looked), edits = first_steps()
    shell(problems)
    shell(copied)
    recipe = desk / "letters.yaml"
    assert len(edits) == 3
    for edit in edits:
        recipe.write_text(edited(recipe.read_text(), edit))
    out = shell(looked)
    assert load_recipe(recipe).name == "letters"
    assert "letters.yaml: valid, 2 stages: sft, evaluate" in out
    assert "stages.sft.optimizer.lr = 0.003" in out and "model.hidden_size: 64 (letters.yaml:" in out
    assert "Last letter of " in out and "<eos>⟧" in out
    results = json.loads((desk / "runs/letters/results.json").read_text())
    greedy = next(row for row in results["rows"] if row["search"] == "greedy")
    assert greedy["accuracy"] > 0.8
