"""What an evaluation must not be measured on: problems, and labels, that something in it has learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from o1kit.recipe.judges import kinds_of
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import Path, Source
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.stages.labels.config import LabelsConfig
from o1kit.stages.prm.config import StageLabelsConfig
from o1kit.stages.rollout.config import RolloutConfig


def learned_from(names: Iterable[str], recipe: Recipe, inputs: Callable[[Any], Iterable[str]]) -> set[str]:
    """The stages with these names, and all that they are made from, directly or through others."""
    stages = {stage.name: stage for stage in recipe.stages}
    found: set[str] = set()
    waiting = [name for name in names if name in stages]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [other for other in inputs(stages[name]) if other in stages]
    return found


def check_measured(
    stage: EvaluateConfig, path: Path, recipe: Recipe, source: Source, inputs: Callable[[Any], Iterable[str]]
) -> None:
    """Adds a fault for splits and labels that policies or judge have learned from, and for labels a judge cannot read.

    Args:
        stage: the evaluation.
        path: where its section is.
        recipe: all stages.
        source: takes the faults.
        inputs: names of the stages that a stage refers to.
    """
    measured = stage.labels.stage if isinstance(stage.labels, StageLabelsConfig) else None
    mine = set(inputs(stage)) - {measured}
    learned = learned_from(mine, recipe, inputs)
    trained = learned_from(set().union(*(inputs(s) for s in recipe.stages if s.name in learned)), recipe, inputs)
    sampled = [s for s in recipe.stages if isinstance(s, LabelsConfig | RolloutConfig) and s.name in learned]
    for j, split in enumerate(stage.splits):
        for other in sampled:
            if other.split == split and split != "train":
                text = f"stage {other.name!r} takes problems of {split!r}, and what is evaluated here learned from it."
                source.fault((*path, "splits", j), f"{text} Let that stage take another split.")
    if measured is not None and measured in trained:
        text = "the judge, or a policy, was trained on these labels, which would flatter it."
        source.fault((*path, "labels", "stage"), f"{text} Label another split, or other problems.")
    if stage.labels is not None and "confidence" in kinds_of(stage.judge, recipe):
        text = "labelled chains do not tell the likeliest tokens that `confidence` reads."
        source.fault((*path, "labels"), f"{text} Leave `labels` out, or use another judge.")
