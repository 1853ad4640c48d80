"""Results go to JSON and back, and to a table and a tree that a person can read."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from o1kit.errors import DataError
from o1kit.report.results import Answer, ResultRow, Results, read_results, write_results
from o1kit.report.table import cells, print_report, render_plain
from o1kit.report.tree import read_trees, render_tree, tree_record, write_trees
from o1kit.types import TreeNode

RESULTS = Results(
    "quickstart",
    (
        ResultRow("sft", "sample", "heldout", 0.6, 0.556, 0.642, 500, 81.4, extra={"by_task": {"sums": 0.5}}),
        ResultRow("sft", "sample", "harder", 0.2, 0.15, 0.25, 300, 1120.0),
        ResultRow("sft", "best_of_n", "heldout", 0.9, 0.87, 0.92, 500, 650.0, oracle=True),
    ),
    (Answer("How many r's?", "sft", "s: 0\n[r]: 1", None),),
)


def test_results_survive_their_file(tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", RESULTS)
    assert read_results(tmp_path / "results.json") == RESULTS


@pytest.mark.parametrize(
    "content", ["", "{}", '{"format": 2, "rows": []}', '{"format": 1, "run": "x", "rows": [{"a": 1}]}']
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


def test_a_tree_reads_from_the_root_down_most_visited_first(tmp_path: Path) -> None:
    nodes = [
        TreeNode(0, None, "", 5, 0.5, 1.0, False),
        TreeNode(1, 0, "wrong way", 1, 0.1, 0.6, False),
        TreeNode(2, 0, "right\nway", 3, 0.8, 0.4, False),
        TreeNode(3, 2, "The answer is 3", 2, 1.0, 1.0, True, "3"),
    ]
    write_trees(tmp_path, [tree_record("How many?", "mcts", nodes)])
    (tree,) = read_trees(tmp_path)
    assert tree["problem"] == "How many?"
    assert render_tree(tree["nodes"]).splitlines() == [
        "   5x  v 0.50  p 1.00  (root)",
        "     3x  v 0.80  p 0.40  right way",
        "       2x  v 1.00  p 1.00  The answer is 3  => 3",
        "     1x  v 0.10  p 0.60  wrong way",
    ]
    assert max(map(len, render_tree(tree["nodes"], width=44).splitlines())) <= 44
    assert read_trees(tmp_path / "nowhere") == []
