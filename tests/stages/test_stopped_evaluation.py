"""Evaluations that are stopped, and rewards that fail while they run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from o1kit.errors import RewardFailure
from o1kit.models.load import save_directory
from o1kit.report.tree import read_trees
from o1kit.rewards.prm import PrmReward
from o1kit.search.journal import Journal
from o1kit.stages.evaluate.module import EvaluateModule
from o1kit.types import State
from tests.alike import assert_alike
from tests.small import built, small
from tests.tiny import tiny

SEARCHES = [
    {"kind": "best_of_n", "num_samples": 3},
    {"kind": "sample", "num_samples": 2},
    {"kind": "mcts", "num_simulations": 3, "num_children": 2},
    {"kind": "beam", "num_beams": 2, "num_children": 2, "max_steps": 2},
]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    for name, seed in (("sft", 0), ("prm", 3)):
        model, template = tiny(seed=seed, head=True, context=48)
        save_directory(model, template.tokenizer, folder / name)
    rows = [{"question": f"{i}+1=?", "answer": str(i + 1)} for i in range(10)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def evaluate(start: Path, folder: Path, **section: Any) -> EvaluateModule:
    stage = {"kind": "evaluate", "name": "evaluate", "policies": ["sft"], "judge": "prm", "searches": SEARCHES}
    source = {"kind": "jsonl", "path": str(start / "rows.jsonl")}
    splits = {name: {"num_problems": 1, "sources": [source]} for name in ("train", "heldout", "harder")}
    recipe = small(stages=[stage | section], tasks=splits)
    made = built(recipe, "evaluate", folder, {"sft": start / "sft", "prm": start / "prm"})
    assert isinstance(made.module, EvaluateModule)
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.test(made.module, datamodule=made.data, verbose=False)
    return made.module


@pytest.mark.slow
def test_an_evaluation_that_is_stopped_goes_on_where_it_was(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped on its second split: what the first one cost is known all the same."""
    splits = {"splits": ["heldout", "harder"]}
    whole = evaluate(start, tmp_path / "whole", **splits)
    put, count, limit = Journal.put, 0, whole.journals.recorded * 3 // 4

    def stop(self: Journal, *arguments: Any, **reply: Any) -> None:
        nonlocal count
        count += 1
        if count > limit:
            raise InterruptedError
        put(self, *arguments, **reply)

    monkeypatch.setattr(Journal, "put", stop)
    with pytest.raises(InterruptedError):
        evaluate(start, tmp_path / "stopped", **splits)
    monkeypatch.undo()
    again = evaluate(start, tmp_path / "stopped", **splits)
    assert again.journals.reused == limit and again.journals.recorded == whole.journals.recorded - limit
    spent = [[row.extra.pop("computed_per_problem") for row in module.rows] for module in (whole, again)]  # type: ignore[attr-defined]
    for module in (whole, again):
        assert len(module.rows) == 2 * 5
    assert_alike(list(map(asdict, again.rows)), list(map(asdict, whole.rows)))
    heldout = [row.split == "heldout" for row in whole.rows]
    for mine, before, after in zip(heldout, *spent, strict=True):
        if mine:
            assert after == before, "to the token"
    assert_alike(again.trees, whole.trees)
    assert len(whole.trees) == 2 * 2


def test_trees_of_an_evaluation_fit_the_schema_and_name_what_could_not_be_judged(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from o1kit.report.tree import write_trees

    real = PrmReward.score

    async def sometimes(self: PrmReward, state: State) -> Any:
        if len(state.token_ids) % 4 == 0:
            raise RewardFailure("its server is away")
        return await real(self, state)

    monkeypatch.setattr(PrmReward, "score", sometimes)
    module = evaluate(start, tmp_path, max_failed_judgements=0.9)
    write_trees(tmp_path, module.trees)
    trees = list(read_trees(tmp_path / "trees.json"))
    assert [tree.search.section["kind"] for tree in trees] == ["mcts", "beam"]
    outcomes = [node.outcome for tree in trees for node in tree.nodes]
    assert outcomes.count("error") > 0 and outcomes.count("ok") > 0
    for tree in trees:
        judged = {node.answer: node.correct for node in tree.nodes if node.correct is not None}
        assert judged.keys() <= set(tree.answers)
    with pytest.raises(RewardFailure, match="more than 1%"):
        evaluate(start, tmp_path / "strict", max_failed_judgements=0.01)
    monkeypatch.undo()
    again = evaluate(start, tmp_path / "strict", max_failed_judgements=0.01)
    assert again.tolerance.failed == 0 and again.journals.reused > 0
