"""Recipes with reward models and preferences of every kind: run as a user runs them, or refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from o1kit.checkpoints import PlainCheckpointIO
from o1kit.models.reading import read_reading
from o1kit.plan import compile_recipe
from o1kit.protocols import BuiltStage
from o1kit.runner import run_plan
from o1kit.stages.sequences import GroupedBatches
from tests.recipe.test_loader import GOOD, fails
from tests.small import RECIPE, small
from tests.stages.test_dpo import pairs
from tests.stages.test_dpo import staged as dpo_stage
from tests.stages.test_reward_training import RANKED, TOKENS, records
from tests.stages.test_reward_training import staged as reward_stage

FILE = {"kind": "file", "path": "labels.jsonl", "format": "o1kit"}
QUICK = {"policy": "sft", "steps": 2, "batch_size": 8}


@pytest.mark.slow  # eight stages, each with its start and its files
def test_labels_and_pairs_of_stages_train_reward_models_and_a_policy(tmp_path: Path) -> None:
    from o1kit.report.labels import write_records

    write_records(tmp_path / "labels.jsonl", records(20))
    stages = [
        RECIPE["stages"][0] | {"steps": 2},
        {"kind": "labels", "name": "labels", "source": FILE},
        {"kind": "pairs", "name": "pairs", "source": {"kind": "outcomes", "of": "labels"}},
        {"kind": "prm", "name": "prm", "labels": {"kind": "stage", "stage": "labels"}, **QUICK},
        {"kind": "prm", "name": "orm", "labels": FILE, "objective": {"kind": "orm"}, "reading": TOKENS, **QUICK},
        {
            "kind": "prm",
            "name": "pairwise",
            "labels": {"kind": "stage", "stage": "pairs"},
            "objective": {"kind": "pairwise"},
            **QUICK,
        },
        {"kind": "dpo", "name": "dpo", "pairs": {"kind": "stage", "stage": "pairs"}, **QUICK},
        {"kind": "sft", "name": "more", "policy": "dpo", "steps": 1, "batch_size": 4},
    ]
    plan = compile_recipe(small(stages=stages))
    folder = run_plan(plan, recipe_directory=tmp_path, runs_dir=tmp_path / "runs", plain=True)
    assert {name: read_reading(folder / name).kind for name in ("prm", "orm", "pairwise")} == {
        "prm": "prm",
        "orm": "orm",
        "pairwise": "pairwise",
    }
    assert read_reading(folder / "orm").by == "tokens"
    summary = {name: json.loads((folder / name / "done.json").read_text())["summary"] for name in ("prm", "dpo")}
    assert summary["prm"]["labels/labelled"] == 20 * 4 * 3
    assert sum(bar["size"] for bar in summary["prm"]["prm/reliability"]) == summary["prm"]["prm/steps"] == 2 * 4 * 3
    assert summary["dpo"]["pairs/pairs"] == 20 * 2 * 2
    assert (folder / "more" / "model.safetensors").is_file()


PRM = """\
  - kind: prm
    name: prm
    policy: sft
    labels: {kind: monte_carlo, chains: 2}
"""
DPO = """\
  - kind: dpo
    name: dpo
    policy: sft
    pairs: {kind: file, path: x.jsonl}
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("chains: 2}", "chains: 2}\n    objective: {kind: orm, ranking: 1.0}", "ranking"),
        ("chains: 2}", "chains: 2}\n    reading: {by: tokens, good: a}", "`good` and `bad` are needed"),
        ("chains: 2}", "chains: 2}\n    reading: {good: a, bad: b}", "only there"),
        (
            "chains: 2}",
            "chains: 2}\n    objective: {kind: pairwise}\n    calibrate: true",
            "`calibrate` has no meaning for comparisons",
        ),
        (
            "chains: 2}",
            "chains: 2}\n    objective: {kind: pairwise}\n    reading: {by: tokens, good: a, bad: b, mark: c}",
            "a comparison is read at the end of its question",
        ),
        (
            "chains: 2}",
            "chains: 2}\n    objective: {kind: pairwise, pairs_per_problem: 2}",
            "`pairs_per_problem` counts only with",
        ),
        ("chains: 2}", "chains: 2}\n    objective: {kind: pairwise, loss: dpo}", "a head answers none: read by tokens"),
        (
            "chains: 2}",
            "chains: 2}\n    objective: {kind: pairwise, beta: 0.2}\n    reading: {by: tokens, good: a, bad: b}",
            "`beta` counts only with `loss: dpo`",
        ),
        ("{kind: monte_carlo, chains: 2}", "{kind: pairs, path: x}", "pairs say which of two chains is better"),
        ("{kind: monte_carlo, chains: 2}", "{kind: stage, stage: sft}", "is of kind sft, labels is needed"),
        (
            "{kind: monte_carlo, chains: 2}",
            "{kind: stage, stage: sft}\n    objective: {kind: pairwise}",
            "is of kind sft, labels or pairs is needed",
        ),
    ],
)
def test_contradictions_of_reward_models_are_refused(old: str, new: str, words: str) -> None:
    assert PRM in GOOD
    assert words in fails(GOOD.replace(PRM, PRM.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("policy: sft", "policy: prm", "is of kind prm, sft or ppo or dpo is needed"),
        ("policy: sft", "policy: sft\n    reference: prm", "reference: stage 'prm' is of kind prm"),
        ("{kind: file, path: x.jsonl}", "{kind: stage, stage: sft}", "is of kind sft, pairs is needed"),
        ("policy: sft", "policy: sft\n    loss: ipo\n    label_smoothing: 0.1", "belongs to the sigmoid loss"),
        ("policy: sft", "policy: sft\n    label_smoothing: 0.5", "label_smoothing"),
    ],
)
def test_contradictions_of_preferences_are_refused(old: str, new: str, words: str) -> None:
    assert words in fails(GOOD.replace(PRM, PRM + DPO.replace(old, new)))


def test_batches_hold_groups_whole_and_a_continued_run_gets_the_rest() -> None:
    groups = [i % 13 for i in range(100)]
    lengths = [(i * 37) % 91 + 5 for i in range(100)]
    options: Any = (groups, lengths, 16)
    one_epoch = len(list(GroupedBatches(*options, 40, seed=3)._epoch(0)))
    batches = list(GroupedBatches(*options, 2 * one_epoch, seed=3))
    assert sorted(i for batch in batches[:one_epoch] for i in batch) == list(range(100)), "every row once an epoch"
    for batch in batches:
        assert len(batch) <= 16
        for group in {groups[i] for i in batch}:
            assert sum(groups[i] == group for i in batch) == groups.count(group)
    rest = GroupedBatches(*options, 2 * one_epoch, seed=3)
    rest.start = 5
    assert list(rest) == batches[5:] and len(rest) == 2 * one_epoch
    assert list(GroupedBatches(*options, 4, seed=4)) != batches[:4]
    big = list(GroupedBatches([0] * 40, [5] * 40, 16, 3, seed=0))
    assert [len(batch) for batch in big] == [16, 16, 8] or sorted(map(len, big)) == [8, 16, 16]


@pytest.mark.parametrize("kind", ["prm", "dpo"])
def test_a_continued_training_ends_with_the_same_weights(kind: str, tmp_path: Path) -> None:
    def stage() -> BuiltStage:
        if kind == "dpo":
            return dpo_stage(tmp_path, pairs(), steps=8)
        return reward_stage(tmp_path, records(), objective=RANKED, steps=8)

    def trainer(**options: Any) -> L.Trainer:
        quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        return L.Trainer(accelerator="cpu", plugins=[PlainCheckpointIO()], **quiet, **options)  # type: ignore[arg-type]

    class Stop(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            if trainer.global_step == 3:
                trainer.save_checkpoint(tmp_path / "kept")
                trainer.should_stop = True

    whole, begun, continued = stage(), stage(), stage()
    trainer(**whole.trainer).fit(whole.module, datamodule=whole.data)
    trainer(**begun.trainer, callbacks=[Stop()], min_steps=1).fit(begun.module, datamodule=begun.data)
    last = trainer(**continued.trainer)
    last.fit(continued.module, datamodule=continued.data, ckpt_path=tmp_path / "kept", weights_only=True)
    assert last.global_step == 8
    for (name, one), other in zip(whole.module.named_parameters(), continued.module.parameters(), strict=True):
        assert torch.equal(one, other), name
