"""Where the labels of a reward model come from: sampled and kept on disk, another stage's, or a file's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from o1kit.engines.policy import PromptTemplate
from o1kit.models.language_model import LanguageModel
from o1kit.protocols import StageInputs
from o1kit.report.label_files import import_labels
from o1kit.report.label_formats import Options
from o1kit.report.label_schema import LabelRecord, PairRecord
from o1kit.report.labels import LABELS, PAIRS, read_labels, read_pairs, write_records
from o1kit.stages.labels.config import FileLabelsConfig, MonteCarloLabelsConfig, OmegaLabelsConfig
from o1kit.stages.labels.write import local_desk, write_labels
from o1kit.stages.prm.config import PairsFileConfig, PrmConfig, StageLabelsConfig
from o1kit.tasks.suite import Suite


class Source(NamedTuple):
    """Labelled chains, or preference pairs: one of the two functions reads them."""

    place: str
    """What errors call it."""
    labels: Callable[[], Iterable[LabelRecord]] | None = None
    pairs: Callable[[], Iterable[PairRecord]] | None = None


def source_of(inputs: StageInputs, policy: LanguageModel, template: PromptTemplate, suite: Suite) -> Source:
    """What a section's `labels` says; nothing is read or sampled yet."""
    found = written(inputs)
    if found is not None:
        return found
    config: PrmConfig = inputs.config
    sampled = config.labels
    assert isinstance(sampled, MonteCarloLabelsConfig | OmegaLabelsConfig)
    desk = local_desk(inputs, policy, template, suite)
    return kept(inputs.directory / LABELS, lambda: write_labels(sampled, desk, "prm labels"))


def written(inputs: StageInputs) -> Source | None:
    """Labels that are there before the stage runs: another stage's, or a file's; None for those it samples."""
    config: PrmConfig = inputs.config
    match config.labels:
        case StageLabelsConfig():
            return _of_stage(inputs.artifacts[config.labels.stage].directory)
        case PairsFileConfig():
            path = inputs.recipe_directory / config.labels.path
            return Source(str(path), pairs=lambda: read_pairs(path))
        case FileLabelsConfig() as file:
            path = inputs.recipe_directory / file.path
            options = Options(file.neutral, file.mark)
            return Source(str(path), lambda: import_labels(path, file.format, options))
        case _:
            return None


def kept(path: Path, make: Callable[[], list[LabelRecord]]) -> Source:
    """Labels that are made once: a continued run finds them in the file."""

    def labels() -> Iterable[LabelRecord]:
        if not path.is_file():
            write_records(path, make())
        return read_labels(path)

    return Source(str(path), labels)


def _of_stage(directory: Path) -> Source:
    """The file that a `labels` or a `pairs` stage has left."""
    labels, pairs = directory / LABELS, directory / PAIRS
    if pairs.is_file():
        return Source(str(pairs), pairs=lambda: read_pairs(pairs))
    return Source(str(labels), lambda: read_labels(labels))
