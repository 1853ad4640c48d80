"""What a run was expected to take, beside what it took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1kit.artifacts import write_done
from o1kit.plan import compile_recipe
from o1kit.planning.history import read
from o1kit.planning.record import FILE, Record, read_record
from tests.small import small


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def finish(folder: Path, name: str, seconds: float, peak_mb: float) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    write_done(folder / name, name, name, "f", seconds=seconds, peak_memory_mb=peak_mb, summary={})


def test_planned_and_measured_stand_side_by_side(tmp_path: Path) -> None:
    plan, folder = compile_recipe(small()), tmp_path / "run"
    record = Record(plan, tmp_path, folder, ["sft", "prm", "ppo", "evaluate"])
    before = read_record(folder)
    assert before is not None and "measured" not in before and before["stages"][0]["seconds"] > 0
    finish(folder, "sft", 231.0, 1024.0)
    finish(folder, "prm", 20.0, 1024.0)
    lines = record.finish()
    assert [line.partition(":")[0] for line in lines] == ["sft", "prm"]
    assert lines[0].endswith("took 4 min / 1.0 GiB")
    after = read_record(folder)
    assert after is not None and after["measured"]["sft"] == {"seconds": 231.0, "peak_mb": 1024.0}
    kept = read()
    # The second stage was in the same process: its peak was that of the first.
    assert [(e.kind, e.seconds, e.peak_mb) for e in kept] == [("sft", 231.0, 1024.0), ("prm", 20.0, 0.0)]


def test_stages_of_before_are_not_counted_again(tmp_path: Path) -> None:
    plan, folder = compile_recipe(small()), tmp_path / "run"
    finish(folder, "sft", 231.0, 1024.0)
    record = Record(plan, tmp_path, folder, ["sft", "prm", "ppo", "evaluate"])
    record.started += 3600
    assert record.finish() == [] and read() == []


def test_a_plan_that_cannot_be_made_stops_no_run(tmp_path: Path) -> None:
    plan = compile_recipe(small(model={"kind": "hf", "source": str(tmp_path / "none")}))
    record = Record(plan, tmp_path, tmp_path / "run", ["sft"])
    finish(tmp_path / "run", "sft", 10.0, 100.0)
    assert record.finish() == []
    assert "is no folder here" in json.loads((tmp_path / "run" / FILE).read_text())["missing"]
    (tmp_path / "file").write_text("")
    assert Record(plan, tmp_path, tmp_path / "file", ["sft"]).finish() == []
