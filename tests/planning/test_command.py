"""`o1kit plan` as a person uses it, in processes of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import NO_TORCH, o1kit

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "recipes" / "quickstart.yaml"


def takes(*arguments: object) -> dict[str, dict[str, Any]]:
    rows = json.loads(o1kit("plan", *arguments, "--json").stdout)
    return {row["stage"]: row["takes"] for row in rows}


def test_the_quickstart_is_planned_without_anything_heavy(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text("{currency: CHF, per_hour: {cpu: 36}}")
    options = ("--runs-dir", tmp_path, "--prices", tmp_path / "prices.yaml")
    done = o1kit("plan", QUICKSTART, *options, code=NO_TORCH)
    assert done.returncode == 0, done.stderr
    for word in ("to do", "parameters", "peak memory, MiB", "kv cache", "CHF", "free on disk"):
        assert word in done.stdout
    rows = json.loads(o1kit("plan", QUICKSTART, *options, "--json").stdout)
    assert [row["takes"]["cost"] for row in rows] == [pytest.approx(row["takes"]["seconds"] / 100) for row in rows]


def test_what_does_not_fit_is_told_with_changes_that_work(tmp_path: Path) -> None:
    little = ("--runs-dir", tmp_path, "--memory-gb", 1)
    done = o1kit("plan", QUICKSTART, *little, code=NO_TORCH)
    assert done.returncode == 6 and "does not fit: memory" in done.stdout, done.stderr
    before = max(stage["peak"] for stage in takes(QUICKSTART, *little).values())
    changes = re.findall(r"--set '([^']+)'", done.stdout)
    assert 1 <= len(changes) <= 3
    for change in changes:
        after = max(stage["peak"] for stage in takes(QUICKSTART, *little, "--set", change).values())
        assert after < before


def test_a_lever_that_is_enough_makes_it_fit(tmp_path: Path) -> None:
    peak = max(stage["peak"] for stage in takes(QUICKSTART, "--runs-dir", tmp_path).values())
    little = ("--runs-dir", tmp_path, "--memory-gb", 0.9 * peak / 2**30)
    done = o1kit("plan", QUICKSTART, *little)
    change = re.search(r"--set '([^']+)' .* fits ", done.stdout)
    assert done.returncode == 6 and change, done.stdout
    again = o1kit("plan", QUICKSTART, *little, "--set", change[1])
    assert again.returncode == 0 and "does not fit" not in again.stdout


def test_too_little_disk_is_told(tmp_path: Path) -> None:
    done = o1kit("plan", QUICKSTART, "--runs-dir", tmp_path, "--disk-gb", 0.01)
    assert done.returncode == 6 and "does not fit: disk" in done.stdout


def test_a_model_that_is_not_here_is_told_and_the_stages_still_shown(tmp_path: Path) -> None:
    recipe = ROOT / "recipes" / "smollm2-lora.yaml"
    done = o1kit("plan", recipe, "--set", f"model.source={tmp_path}/none", "--runs-dir", tmp_path, code=NO_TORCH)
    assert done.returncode == 0 and "evaluate" in done.stdout
    assert "is no folder here" in done.stdout and "are not known" in done.stdout
    probed = o1kit("plan", recipe, "--set", f"model.source={tmp_path}/none", "--runs-dir", tmp_path, "--probe")
    assert probed.returncode == 3 and "Traceback" not in probed.stderr


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_plans(recipe: Path, tmp_path: Path) -> None:
    done = o1kit("plan", recipe, "--runs-dir", tmp_path)
    assert done.returncode == 0 and ("in all: " in done.stdout or "are not known" in done.stdout), done.stderr
