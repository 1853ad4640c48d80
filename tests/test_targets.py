"""Benchmarks with targets can miss them, and plans that are compared with runs know nothing of earlier ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import plan_accuracy, recipe_faults, validate_speed
from benchmarks.targets import Target, told


def test_a_missed_target_is_said_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = Target("median", 0.3, 0.3, "s"), Target("right:", 98.9, 99.0, "%", at_least=True)
    assert told([good]) == 0 and told([]) == 0
    assert told([good, bad]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "median 0.300 s, target at most 0.300 s: met",
        "right: 98.900 %, target at least 99.000 %: missed",
    ]
    assert not Target("none", float("nan"), 1.0, "s").met


@pytest.mark.parametrize(
    ("totals", "met"),
    [
        ([421, 487, 1626, 1770], [True, True]),
        ([43 * 60, 487, 2560, 1770], [False, False]),
        ([100, 0, 100, 0], [False, False]),  # nothing was measured
    ],
)
def test_targets_of_plans(totals: list[float], met: list[bool]) -> None:
    assert [target.met for target in plan_accuracy.targets("r", totals)] == met


def test_targets_of_validation_and_of_faults() -> None:
    assert validate_speed.target([0.2, 0.29, 0.9]).met and not validate_speed.target([0.2, 0.31, 0.4]).met
    slips = recipe_faults.Tally(tried=1000, misled=["x"] * 10)
    assert [target.met for target in recipe_faults.targets({"keys with a slip": slips})] == [True, True]
    slips.misled.append("x")
    slips.misplaced.append("x")
    assert [target.met for target in recipe_faults.targets({"keys with a slip": slips})] == [False, False]
    assert not recipe_faults.targets({"types": recipe_faults.Tally()})[0].met


def test_each_recipe_is_planned_with_an_empty_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    seen: list[tuple[str, str, bool]] = []

    def run(command: list[str], env: dict[str, str] | None = None, **_: Any) -> SimpleNamespace:
        cache = (env or dict(os.environ))["XDG_CACHE_HOME"]
        seen.append((command[3], cache, any(Path(cache).glob("*"))))
        (Path(cache) / "left").mkdir(exist_ok=True)
        return SimpleNamespace(returncode=0, stdout=json.dumps({"stages": []}), stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    (tmp_path / "r.yaml").write_text("name: r\n")
    monkeypatch.setattr(
        sys, "argv", ["x", "--recipes", *[str(tmp_path / "r.yaml")] * 2, "--runs-dir", str(tmp_path / "d")]
    )
    with pytest.raises(SystemExit) as ended:
        plan_accuracy.main()
    assert ended.value.code == 1, "nothing was measured"
    assert [what for what, *_ in seen] == ["plan", "run", "plan", "run"]
    assert [used for _, _, used in seen] == [False, True, False, True]
    assert len({cache for _, cache, _ in seen}) == 2 and str(tmp_path / "mine") not in {cache for _, cache, _ in seen}
