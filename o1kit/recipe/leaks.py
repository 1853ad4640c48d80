"""What an evaluation must not be measured on: problems, and labels, that something in it has learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from o1kit.functional.ancestry import ancestors
from o1kit.recipe.judges import kinds_of
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import Path, Source
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.stages.evaluate.learned import judges, sampled
from o1kit.stages.labels.config import LabelsConfig
from o1kit.stages.prm.config import StageLabelsConfig
from o1kit.stages.rollout.config import RolloutConfig


def learned_from(names: Iterable[str], recipe: Recipe, inputs: Callable[[Any], Iterable[str]]) -> set[str]:
    """The stages with these names, and all that they are made from, directly or through others."""
    stages = {stage.name: stage for stage in recipe.stages}
    found = ancestors(names, lambda name: inputs(stages[name]) if name in stages else ())
    return found & stages.keys()


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
    samplers = [s for s in recipe.stages if isinstance(s, LabelsConfig | RolloutConfig) and s.name in learned]
    for j, split in enumerate(stage.splits):
        for other in samplers:
            if other.split == split and split != "train":
                text = f"stage {other.name!r} takes problems of {split!r}, and what is evaluated here learned from it."
                source.fault((*path, "splits", j), f"{text} Let that stage take another split.")
    if measured is not None:
        _check_labels(stage, measured, trained, path, recipe, source, inputs)
    if stage.labels is not None and "confidence" in kinds_of(stage.judge, recipe):
        text = "labelled chains do not tell the likeliest tokens that `confidence` reads."
        source.fault((*path, "labels"), f"{text} Leave `labels` out, or use another judge.")


def _check_labels(
    stage: EvaluateConfig,
    measured: str,
    trained: set[str],
    path: Path,
    recipe: Recipe,
    source: Source,
    inputs: Callable[[Any], Iterable[str]],
) -> None:
    """Labels tell nothing of a judge that was trained on them, on these chains, or on others of the same problems."""
    stages = {other.name: other for other in recipe.stages}
    place = (*path, "labels", "stage")
    chains = ancestors([measured], lambda name: _chains_of(stages.get(name))) & stages.keys()
    if chains & trained:
        text = "the judge, or a policy, was trained on these labels"
        text += (
            "" if measured in trained else f", or on others of the same chains ({', '.join(sorted(chains & trained))})"
        )
        source.fault(place, f"{text}, which would flatter it. Label another split, or other problems.")
        return
    taught = [one for name in learned_from(judges(stage), recipe, inputs) if (one := sampled(stages[name]))]
    same = sorted({one.split for one in taught} & {one.split for name in chains if (one := sampled(stages[name]))})
    if same:
        text = (
            f"the judge was trained on labels of the same problems, the first of {same[0]!r}, which would flatter it."
        )
        source.fault(place, f"{text} Label another split.")


def _chains_of(stage: Any) -> list[str]:
    """The stages whose chains a stage labels anew."""
    named = getattr(stage.source, "of", []) if isinstance(stage, LabelsConfig) else []
    return [named] if isinstance(named, str) else list(named)
