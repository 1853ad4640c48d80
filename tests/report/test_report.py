"""Results go to JSON and back, and to a table and a tree that a person can read."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from o1kit.errors import DataError
from o1kit.report.details import detail_lines, summary_lines
from o1kit.report.results import (
    About,
    Answer,
    Comparison,
    Overlap,
    ResultRow,
    Results,
    read_results,
    write_results,
)
from o1kit.report.table import cells, print_report, render_plain

RESULTS = Results(
    "quickstart",
    (
        ResultRow("sft", "sample", "heldout", 0.6, 0.556, 0.642, 500, 81.4, extra={"by_task": {"sums": 0.5}}),
        ResultRow("sft", "sample", "harder", 0.2, 0.15, 0.25, 300, 1120.0),
        ResultRow("sft", "best_of_n", "heldout", 0.9, 0.87, 0.92, 500, 650.0, oracle=True),
    ),
    (Answer("How many r's?", "sft", "s: 0\n[r]: 1", None),),
)
EXAMPLE = {"problem": "p", "text": "1 + 1", "share": 1.0, "like": "1 +  1"}
FULL = Results(
    "quickstart",
    (
        ResultRow("sft", "rm@4", "heldout", 0.6, 0.5, 0.7, 500, 81.4, seeds=3, seed_std=0.02),
        ResultRow("sft", "pass@4", "heldout", 0.9, 0.87, 0.92, 500, 650.0, oracle=True),
    ),
    about=About("0.1.0", "hash", "evaluate", 7, 3, {"sums": "exact 1"}, "prm"),
    comparisons=(
        Comparison("sft", "rm@4", "heldout", "sft", "greedy", 0.1, 0.05, 0.15, 30, 10, 0.002, 0.004, 500),
        Comparison("sft", "rm@4", "heldout", "base", "rm@4", -0.01, -0.05, 0.03, 10, 12, 0.83, 0.83, 500),
    ),
    overlaps=(Overlap("heldout", "train", 500, 1, 4, 6, 0.012, 13, 0.8, 99, (EXAMPLE,)),),
    reward={
        "judge": "prm",
        "chains": 10,
        "steps": 1200,
        "step_accuracy": 0.912,
        "f1": 0.781,
        "auc": 0.95,
        "calibration_error": 0.031,
        "reliability": [{"low": 0.9, "high": 1.0, "size": 1200, "predicted": 0.95, "observed": 0.919}],
        "best_of_n": [{"policy": "sft", "search": "rm@4", "split": "heldout", "gain_pass_at_1": 0.12}],
    },
)


@pytest.mark.parametrize("results", [RESULTS, FULL])
def test_results_survive_their_file(results: Results, tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results


def test_the_first_format_is_still_read(tmp_path: Path) -> None:
    """As version 0.1.0 wrote it."""
    row = {"policy": "sft", "search": "greedy", "split": "heldout", "accuracy": 0.5, "ci_low": 0.4, "ci_high": 0.6}
    row |= {"n": 10, "tokens_per_problem": 12.0, "oracle": False, "extra": {"tasks": {}}}
    asked = {"question": "?", "policy": "sft", "chain": "", "answer": None}
    old = {"format": 1, "run": "r", "rows": [row], "answers": [asked]}
    (tmp_path / "r.json").write_text(json.dumps(old))
    found = read_results(tmp_path / "r.json")
    assert found.rows[0].accuracy == 0.5 and found.answers[0].question == "?"
    assert (found.about, found.comparisons, found.rows[0].seeds) == (About(), (), 1)
    assert summary_lines(found) == []


def test_below_the_table_stands_what_is_worth_knowing() -> None:
    assert summary_lines(FULL) == [
        "like problems of train: heldout 6 of 500 (1 the same, 3 but for case, blanks and marks)",
        "judge prm on 1,200 labelled steps: step accuracy 91.2 %, F1 (ProcessBench) 78.1, AUC 0.950, "
        "calibration error 0.031",
        "paired differences: 1 of 2 significant at 5% (sign test, Holm); to see them: o1kit compare RUN",
    ]
    shares = {"no_answer": 0.04, "truncated": 0.0, "repetitive": 0.011, "over_reflective": 0.001}
    row = replace(FULL.rows[1], extra={"degeneration": shares})
    (line,) = summary_lines(Results("r", (row,)))
    assert line == "chains of sft, heldout, at worst (pass@4 (oracle)): 4.0 % no answer, 1.1 % repetitive"


def test_details_tell_everything() -> None:
    text = "\n".join(detail_lines(FULL))
    for part in (
        "heldout  sft     rm@4    greedy          +10.0  [+5.0, +15.0]      30     10  0.002   0.004 *",
        "base rm@4",
        "sft     rm@4    heldout  60.0                 2.0",
        "p: 1 + 1",
        "like: 1 + 1",
        "judge prm: sft rm@4, heldout: +12.0 over pass@1",
        "0.9 to 1.0  1,200      0.950     0.919",
    ):
        assert part in text, text


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        '{"format": 3, "rows": []}',
        '{"format": 2, "rows": []}',
        '{"format": 1, "run": "x", "rows": [{"a": 1}]}',
    ],
)
def test_a_file_that_is_not_results_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(DataError, match=r"r\.json"):
        read_results(tmp_path / "r.json")


def test_the_table_has_a_row_for_each_policy_and_search() -> None:
    assert cells(RESULTS) == [
        ["sft", "sample", "60.0 [55.6, 64.2]", "20.0 [15.0, 25.0]", "81", "1,120"],
        ["sft", "best_of_n (oracle)", "90.0 [87.0, 92.0]", "-", "650", "-"],
    ]
    lines = render_plain(RESULTS).splitlines()
    assert lines[0].split() == ["policy", "search", "heldout", "harder", "tokens", "heldout", "tokens", "harder"]
    assert len({len(line) for line in lines[1:3]}) == 1, "columns are aligned"
    assert "500 heldout, 300 harder" in lines[-1]


@pytest.mark.parametrize("plain", [True, False])
def test_the_report_shows_table_question_and_chain(plain: bool) -> None:
    stream = io.StringIO()
    print_report(RESULTS, Console(file=stream, width=150), plain=plain)
    text = stream.getvalue()
    for part in ("60.0 [55.6, 64.2]", "How many r's?", "    [r]: 1", "sft answers: (nothing)"):
        assert part in text
