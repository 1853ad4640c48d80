"""What stages have learned from: splits that they sampled, and files. It reads sections only, so that it is fast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from o1kit.functional.ancestry import ancestors
from o1kit.rewards.config import parts
from o1kit.stages.dpo.config import DpoConfig, FilePairsConfig
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.stages.labels.config import SAMPLED, FileLabelsConfig, LabelsConfig
from o1kit.stages.prm.config import PairsFileConfig, PrmConfig
from o1kit.stages.rollout.config import RolloutConfig

TRAIN = "train"
LearnedFile = FileLabelsConfig | PairsFileConfig | FilePairsConfig
FILES = (FileLabelsConfig, PairsFileConfig, FilePairsConfig)


class Sampled(NamedTuple):
    """The first problems of a split; all of them where `first` is None."""

    split: str
    first: int | None


def sampled(stage: Any) -> Sampled | None:
    """The problems for which a stage samples chains that others, or it itself, learn from."""
    if isinstance(stage, LabelsConfig) and isinstance(stage.source, SAMPLED):
        return Sampled(stage.split, stage.source.num_problems)
    if isinstance(stage, RolloutConfig):
        return Sampled(stage.split, stage.num_problems)
    if isinstance(stage, PrmConfig) and isinstance(stage.labels, SAMPLED):
        return Sampled(TRAIN, stage.labels.num_problems)
    return None


def file_of(stage: Any) -> LearnedFile | None:
    """The file of labels or pairs that a stage reads to learn from it, or for others to."""
    found: Any = None
    if isinstance(stage, LabelsConfig):
        found = stage.source
    elif isinstance(stage, PrmConfig):
        found = stage.labels
    elif isinstance(stage, DpoConfig):
        found = stage.pairs
    return found if isinstance(found, FILES) else None


def evaluated(config: EvaluateConfig) -> set[str]:
    """The stages whose models an evaluation runs: policies, models of searches, and the judge's."""
    return {*config.policies, *(name for search in config.searches for name in search.models), *judges(config)}


def judges(config: EvaluateConfig) -> set[str]:
    """The stages whose models judge."""
    if config.judge is None:
        return set()
    if isinstance(config.judge, str):
        return {config.judge}
    named = (getattr(part, "model", None) for part in parts(config.judge))
    return {name for name in named if isinstance(name, str)}


def among(stages: Iterable[Any], names: Iterable[str], made_from: Mapping[str, Sequence[str]]) -> list[Any]:
    """Those of the stages that have these names, or that these are made from."""
    found = ancestors(names, lambda name: made_from.get(name, ()))
    return [stage for stage in stages if stage.name in found]
