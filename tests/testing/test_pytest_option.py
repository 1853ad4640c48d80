"""`pytest --o1kit-plugin GROUP:KIND` in processes of their own, as a plugin's author would call it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def kit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    plugin = [] if entry_points(group="pytest11", name="o1kit") else ["-p", "o1kit.testing.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=200)


@pytest.mark.slow
def test_the_kit_runs_without_a_file(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("def test_not_asked_for(): assert False")
    sections = ("--o1kit-section", "num_samples: 2", "--o1kit-section", "generator: chain_sum")
    kinds = ("--o1kit-plugin", "searches:sample", "--o1kit-plugin", "tasks:reasoning_gym")
    done = kit(tmp_path, *kinds, *sections, "-k", "budget or prefix", "-vv")
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert "[searches:sample-budget]" in done.stdout and "[tasks:reasoning_gym-prefix]" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--o1kit-plugin", "serches:greedy"), "Did you mean 'searches'?"),
        (("--o1kit-plugin", "greedy"), "write GROUP:KIND"),
        (("--o1kit-plugin", "searches:greedy", "--o1kit-section", "- 4"), "write keys and values"),
    ],
)
def test_words_that_make_no_sense_are_refused(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = kit(tmp_path, *arguments)
    assert done.returncode == 4 and told in done.stdout + done.stderr, done.stdout + done.stderr
