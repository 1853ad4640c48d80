"""Recipes from a stranger: no traceback, hang, file or foreign code; `benchmarks/recipe_fuzz.py` takes 20,000."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.recipe_fuzz import fuzz
from o1kit.errors import RecipeError
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.source import parse

ACTS = {
    "open('x', 'w').close()": ["file"],
    "open(sys.executable, 'rb').close()": [],
    "exec('1')": ["code"],
    "__import__('subprocess').run(['true'])": ["code"],
    "__import__('socket').socket()": ["code"],
    "__import__('os').mkdir('y')": ["file"],
    "__import__('colorsys')": [],
}
PLANTED = """
import json, sys
from benchmarks.fuzz_worker import Watch
watch, told = Watch(), {}
for act in json.loads(sys.argv[1]):
    run = eval(f"lambda: {act}")
    watch.found, watch.on = [], True
    run()
    watch.on = False
    told[act] = sorted({found["kind"] for found in watch.found})
print(json.dumps(told))
"""


def test_a_hundred() -> None:
    tally, findings, _ = fuzz(120)
    assert not findings
    assert sum(tally.values()) == 120 and set(tally) <= {"valid", "refused"}


@pytest.mark.slow
def test_some_more_of_another_seed() -> None:
    tally, findings, _ = fuzz(1000, seed=1)
    assert not findings
    assert sum(tally.values()) == 1000 and set(tally) == {"valid", "refused"}


def test_what_must_not_happen_is_noticed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PLANTED, json.dumps(list(ACTS))]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ACTS


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 5_000,
        "- " * 5_000,
        "a: [" + "x, " * 300_000 + "]",
        "\n".join(f"k{i}: 1" for i in range(90_000)),
        "a: " + "9" * 400_000,
        "? " * 3_000,
        "x" * 900_000 + ": 1",
        "a: &a [*a]",
        'a: "\\ud800"',
        "%YAML 1.9\n---\na: 1\n",
        "%YAML 9.9\n---\na: 1\n",
        '"\\ud800": 1',
        "o1kit: 1\n" + "\n".join(f"unknown_{i}: 1" for i in range(1_500)),
    ],
    ids=lambda text: text[:12].strip(),
)
def test_bombs_are_refused(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_from(parse(text, "r.yaml"))
    assert len(str(caught.value)) < 60_000


def test_characters_written_as_json_does() -> None:
    assert parse('a: "\\ud83d\\ude00"', "r.yaml").data == {"a": "\U0001f600"}


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_every_file_is_read_as_yaml_1_2(version: str) -> None:
    source = parse(f"%YAML {version}\n---\na: yes\nb: 2001-01-01\nc: 0o17\nd: 017\n", "r.yaml")
    assert not source.faults
    assert source.data == {"a": "yes", "b": "2001-01-01", "c": 15, "d": 17}
