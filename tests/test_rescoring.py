"""Grading stored answers again, and comparing runs: no model is loaded, nothing is generated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from o1kit.cli import main
from o1kit.errors import DataError, RecipeError
from o1kit.report.results import Results, read_results
from o1kit.rescoring import RESCORED, compare_runs, rescore, stage_folder
from tests.stages.planted_answers import COUNT, Evaluated, evaluate

OTHER = "tasks.heldout.sources[0].answer_field=other"
"""A field in which every answer is the number of problems: what was right is wrong now."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    with pytest.MonkeyPatch.context() as patch:
        return evaluate(tmp_path_factory.mktemp("e"), patch, policies=["sft", "ppo"], seeds=2, pass_at=[2])


@pytest.fixture
def run(done: Evaluated, tmp_path: Path) -> Path:
    """A copy of the run's folder."""
    return shutil.copytree(done.folder.parent, tmp_path / "run")


def test_the_same_grader_gives_the_same_results(run: Path) -> None:
    found = rescore(run / "evaluate")
    assert found.changes == () and found.answers > 0
    assert found.after.rows == found.before.rows
    assert found.after.about.recipe_hash == found.before.about.recipe_hash
    assert found.after.comparisons == found.before.comparisons
    assert read_results(run / "evaluate" / RESCORED) == found.after
    assert read_results(run / "evaluate" / "results.json") == found.before, "the old ones stay"


def test_another_grader_gives_other_results(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(run / "evaluate"), "--set", OTHER]) == 0
    after = read_results(run / "evaluate" / RESCORED)
    assert {row.accuracy for row in after.rows} == {0.0}
    before = read_results(run / "evaluate" / "results.json")
    kept = ("computed_per_problem", "degeneration")
    for old, new in zip(before.rows, after.rows, strict=True):
        assert (old.policy, old.search, old.tokens_per_problem) == (new.policy, new.search, new.tokens_per_problem)
        assert [old.extra[name] for name in kept] == [new.extra[name] for name in kept]
    hashes = [results.about.recipe_hash for results in (before, after)]
    assert hashes[0] != hashes[1] and len(hashes[1]) == 64, "it is that of the changed recipe"
    assert (before.about.overrides, after.about.overrides) == ((), (OTHER,))
    told = capsys.readouterr().out
    assert "'4711': right -> wrong" in told
    greedy = before.find("sft", "greedy", "heldout")
    assert greedy is not None
    assert f"sft greedy heldout: {100 * greedy.accuracy:.1f} -> 0.0 (-{100 * greedy.accuracy:.1f})" in told


def test_answers_are_not_held_against_other_problems(run: Path) -> None:
    path = run / "heldout.jsonl"
    path.write_text(path.read_text().replace("Problem 4", "Problem four"))
    with pytest.raises(DataError, match="heldout/heldout/4 is not what it was"):
        rescore(run / "evaluate", recipe_directory=run)
    assert rescore(run / "evaluate").changes == (), "the recipe's own folder still has the old ones"


def test_answers_found_by_another_rule_need_another_evaluation(run: Path) -> None:
    with pytest.raises(RecipeError, match="found by the rule 'stated'"):
        rescore(run / "evaluate", ["grading.answer_rule=final"])


def test_a_grader_that_is_more_tolerant(run: Path) -> None:
    """The secret is off by one now: wrong for `exact`, near enough for `numeric` with a tolerance."""
    path = run / "heldout.jsonl"
    path.write_text(path.read_text().replace("4711", "4712"))
    grader = "tasks.heldout.sources[0].grader={kind: numeric, absolute: 1.5}"
    exact, near = (rescore(run / "evaluate", more, run).after for more in ([], [grader]))
    assert {row.accuracy for row in exact.rows} == {0.0}
    assert [row.accuracy for row in near.rows] == [row.accuracy for row in read_before(run).rows]
    assert near.about.graders["heldout"].startswith("numeric")


def read_before(run: Path) -> Results:
    return read_results(run / "evaluate" / "results.json")


def test_the_outputs_are_found(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "evaluate" / "results.json", run)
    folder = run / "evaluate"
    assert [stage_folder(p) for p in (run, folder, folder / "results.json")] == [folder] * 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no outputs\.jsonl"):
        stage_folder(tmp_path / "empty")
    assert main(["score", str(tmp_path / "empty")]) == 4


def test_runs_are_compared_problem_by_problem(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second run knows half of the problems only, in another order and under other names."""
    assert all(one.difference == 0 and one.p_adjusted == 1 for one in compare_runs(run / "evaluate", run / "evaluate"))
    outputs = run / "evaluate" / "outputs.jsonl"
    other = shutil.copytree(run, tmp_path / "other")
    lines = [json.loads(line) for line in outputs.read_text().splitlines()]
    renamed = {line["id"]: f"x{i}" for i, line in enumerate(lines) if line["kind"] == "problem" and i % 2}
    kept = []
    for line in lines:
        if line["kind"] == "problem":
            if line["id"] not in renamed:
                continue
            line["id"] = renamed[line["id"]]
        elif line["kind"] == "output":
            if line["problem"] not in renamed:
                continue
            line["problem"] = renamed[line["problem"]]
            line["marks"] = [1.0] * len(line["marks"])
        kept.append(line)
    head, *rest = kept
    ordered = [head, *(x for kind in ("problem", "chain", "output") for x in reversed(rest) if x["kind"] == kind)]
    (other / "evaluate" / "outputs.jsonl").write_text("\n".join(map(json.dumps, ordered)) + "\n")
    found = compare_runs(other / "evaluate", run / "evaluate")
    assert {one.n for one in found} == {COUNT // 2}
    assert all(one.difference >= 0 and one.worse == 0 for one in found)
    assert any(one.difference > 0 for one in found)
    words = ["compare", str(other / "evaluate"), str(run / "evaluate")]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "p (Holm)" in shown and "caution" not in shown
    results = other / "evaluate" / "results.json"
    results.write_text(results.read_text().replace('"heldout": "exact 1"', '"heldout": "numeric 1"'))
    assert main(words) == 0
    assert "caution: heldout was graded otherwise" in capsys.readouterr().out


def test_one_run_is_shown_with_all_its_differences(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(run / "evaluate")]) == 0
    shown = capsys.readouterr().out
    parts = ("pass@4 (oracle)", "p (Holm)", "how chains went wrong", "from seed to seed, over 2 seeds", "like: PROB")
    assert [part for part in parts if part not in shown] == []
    assert main(["compare", *[str(run / "evaluate")] * 3]) == 2


def test_runs_without_a_common_row_are_refused(run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(run, tmp_path / "other") / "evaluate"
    text = (other / "outputs.jsonl").read_text().replace('"split":"heldout"', '"split":"harder"')
    (other / "outputs.jsonl").write_text(text)
    with pytest.raises(DataError, match="in common"):
        compare_runs(run / "evaluate", other)
