"""The gates of the quickstart fail when a figure falls short or is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.quickstart_gates import main
from o1kit.report.results import Answer, ResultRow, Results, write_results

GOOD = {
    ("sft", "pass@1", "heldout"): 0.6,
    ("ppo", "pass@1", "heldout"): 0.92,
    ("sft", "pass@1", "harder"): 0.3,
    ("sft", "majority@8", "harder"): 0.36,
    ("sft", "prm_vote@8", "harder"): 0.4,
}


def write(path: Path, cells: dict[tuple[str, str, str], float], answer: str | None = "3") -> list[str]:
    rows = tuple(
        ResultRow(*cell, value, value, value, 500 if cell[2] == "heldout" else 300, 10.0)
        for cell, value in cells.items()
    )
    write_results(path, Results("q", rows, (Answer("How many r's are in strawberry?", "ppo", "", answer),)))
    write_done(path.parent, 1000.0, 0.5)
    return [str(path)]


def write_done(run: Path, memory_mb: float, replay_seconds: float) -> None:
    (run / "ppo").mkdir(exist_ok=True)
    done = {"seconds": 100.0, "peak_memory_mb": memory_mb, "summary": {"replay_seconds": replay_seconds}}
    (run / "ppo" / "done.json").write_text(json.dumps(done))


def test_good_results_pass(tmp_path: Path) -> None:
    assert main(write(tmp_path / "r.json", GOOD)) == 0
    assert main([*write(tmp_path / "r.json", GOOD), "--seconds", "899"]) == 0


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (("sft", "pass@1", "heldout"), 0.80),
        (("ppo", "pass@1", "heldout"), 0.85),
        (("sft", "majority@8", "harder"), 0.25),
        (("sft", "prm_vote@8", "harder"), 0.33),
        (("sft", "prm_vote@8", "harder"), None),
    ],
)
def test_one_bad_figure_fails(tmp_path: Path, cell: tuple[str, str, str], value: float | None) -> None:
    cells = {**GOOD, cell: value}
    assert main(write(tmp_path / "r.json", {k: v for k, v in cells.items() if v is not None})) == 1


def test_a_wrong_answer_to_strawberry_or_a_slow_run_fails(tmp_path: Path) -> None:
    assert main(write(tmp_path / "r.json", GOOD, answer="2")) == 1
    assert main(write(tmp_path / "r.json", GOOD, answer=None)) == 1
    assert main([*write(tmp_path / "r.json", GOOD), "--seconds", "1000"]) == 1


@pytest.mark.parametrize(("memory_mb", "replay_seconds"), [(5000.0, 0.5), (1000.0, 2.0)])
def test_too_much_memory_or_replay_time_fails(tmp_path: Path, memory_mb: float, replay_seconds: float) -> None:
    arguments = write(tmp_path / "r.json", GOOD)
    write_done(tmp_path, memory_mb, replay_seconds)
    assert main(arguments) == 1


def test_missing_results_are_an_error(tmp_path: Path) -> None:
    assert main([str(tmp_path / "none.json")]) == 4
