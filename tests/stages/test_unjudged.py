"""Answers that the verifier could not judge: counted, no labels, and too many of them end a stage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from o1kit.errors import DataError
from o1kit.models.load import save_directory
from o1kit.report.labels import read_labels
from o1kit.rewards.pool import Job, ScoringPool, Verdict
from o1kit.rewards.verifier import Verifier
from o1kit.stages.labels.config import MonteCarloLabelsConfig, OmegaLabelsConfig
from o1kit.types import Score, State
from tests.small import LETTERS, built, small
from tests.stages import test_label_stages, test_rollout
from tests.stages.test_labels import MONTE_CARLO, Planted, labelled
from tests.tiny import tiny

labels_start, rollout_start = test_label_stages.start, test_rollout.start


def judged(monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    """Every so many answers are timeouts, the others right."""
    number = count()

    def judge(self: ScoringPool, jobs: Sequence[Job]) -> list[Verdict]:
        return [Verdict("right", 1.0) if next(number) % every else Verdict("timeout", detail="planted") for _ in jobs]

    async def judge_async(self: ScoringPool, jobs: Sequence[Job]) -> list[Verdict]:
        return judge(self, jobs)

    monkeypatch.setattr(ScoringPool, "judge", judge)
    monkeypatch.setattr(ScoringPool, "judge_async", judge_async)


def test_a_few_timeouts_end_a_rollout(rollout_start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(monkeypatch, 1)
    with pytest.raises(DataError, match=r"could not judge [1-9] of [1-9] answers.*planted"):
        test_rollout.roll(rollout_start, tmp_path, search={"kind": "greedy"}, judge=None)


def test_a_few_timeouts_end_a_labels_stage(labels_start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(monkeypatch, 1)
    with pytest.raises(DataError, match=r"could not judge \d+ of \d+ answers.*planted"):
        test_label_stages.run(labels_start, tmp_path, MONTE_CARLO | {"completions": 0})


def test_a_few_timeouts_end_an_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(monkeypatch, 1)
    model, template = tiny(context=160)
    save_directory(model, template.tokenizer, tmp_path / "sft")
    tasks = {split: {"num_problems": n, "sources": [LETTERS]} for split, n in (("train", 20), ("heldout", 2))}
    section = {"searches": [{"kind": "greedy"}], "policies": ["sft"], "judge": None}
    stage = built(small({"evaluate": section}, tasks=tasks), "evaluate", tmp_path / "e", {"sft": tmp_path / "sft"})
    options: Any = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with pytest.raises(DataError, match=r"could not judge 2 of 2 answers.*planted"):
        L.Trainer(accelerator="cpu", **options).test(stage.module, stage.data, verbose=False)
    monkeypatch.setattr(Verifier, "check", lambda self, end=False: None)
    stage = built(small({"evaluate": section}, tasks=tasks), "evaluate", tmp_path / "f", {"sft": tmp_path / "sft"})
    trainer = L.Trainer(accelerator="cpu", **options)
    trainer.test(stage.module, stage.data, verbose=False)
    assert trainer.callback_metrics["eval/answers_timeout/greedy/sft/heldout"] == 2


def test_timeouts_are_counted_and_become_no_labels(
    labels_start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(monkeypatch, 3)
    monkeypatch.setattr(Verifier, "check", lambda self, end=False: None)
    module = test_label_stages.run(labels_start, tmp_path, MONTE_CARLO | {"completions": 0, "chains": 4})
    found = list(read_labels(tmp_path / "labels.jsonl"))
    unknown = [record for record in found if record.correct is None]
    assert len(unknown) == module.summary["answers_timeout"] > 0
    assert all(set(record.labels) == {None} for record in unknown)
    assert module.summary["answers_right"] == len(found) - len(unknown) > 0


class Unsure(Planted):
    """No chain can be judged, or no wrong one."""

    def __init__(self, size: int, error: int, silent: str) -> None:
        super().__init__(size, error)
        self.silent = silent

    async def score(self, state: State) -> Score:
        found = await super().score(state)
        unknown = self.silent == "all" or (self.silent == "wrong" and not found.value)
        return Score(0.0, "planted", oracle=True, outcome="timeout") if unknown else found


@pytest.mark.parametrize(
    "section",
    [
        MonteCarloLabelsConfig(kind="monte_carlo", chains=2, completions=4),
        OmegaLabelsConfig(kind="omega", rollouts=4, completions=4, num_iterations=4, length=20.0, keep="all"),
    ],
    ids=lambda section: section.kind,
)
def test_what_cannot_be_judged_is_no_failure_of_the_chain(section: Any) -> None:
    """With only wrong chains left out nothing is labelled bad; with all of them nothing is labelled."""
    found = labelled(Unsure(4, 3, "wrong"), section)
    assert {label for record in found for label in record.labels} == {None, 1.0}
    assert {record.correct for record in found} == {None, True}
    assert {label for r in labelled(Unsure(4, 3, "all"), section) for label in r.labels} == {None}


def test_an_omega_search_ends_where_nothing_can_be_judged() -> None:
    """The first rollouts are known and some of them wrong; no completion is."""

    class Later(Unsure):
        async def score(self, state: State) -> Score:
            self.silent = "all" if len(self.asked) > 1 else "none"
            return await super().score(state)

    section = OmegaLabelsConfig(kind="omega", rollouts=4, completions=2, num_iterations=4, length=20.0)
    found = labelled(Later(8, 5, "none"), section)
    assert {record.correct for record in found} == {True, False}
    assert all(label is None for record in found for label in record.labels[:-1])
