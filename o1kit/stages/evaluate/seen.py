"""The texts of the problems that stages have learned from, beside the recipe's split `train`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from o1kit.artifacts import write_atomic
from o1kit.errors import DataError
from o1kit.functional.overlap import normalised
from o1kit.protocols import StageInputs
from o1kit.report.label_files import import_labels
from o1kit.report.label_formats import Options
from o1kit.report.labels import read_pairs
from o1kit.stages.evaluate.learned import TRAIN, LearnedFile, among, evaluated, file_of, judges, sampled
from o1kit.stages.labels.config import FileLabelsConfig
from o1kit.tasks.suite import Suite

REMEDY = "It tells what was learned from. Put it back, or leave the comparison out (`overlap: null`)."


def seen_texts(stages: Iterable[Any], suite: Suite, directory: Path) -> dict[str, list[str]]:
    """Texts of problems, by where they come from: `train` if there is one, further splits, files of stages.

    Args:
        stages: what has learned, and all that it is made from.
        suite: their problems.
        directory: folder that relative paths start from.

    Raises:
        DataError: a file cannot be read.
    """
    found = {TRAIN: [p.prompt for p in suite.problems(TRAIN)]} if TRAIN in suite.splits else {}
    for stage in stages:
        drawn, file = sampled(stage), file_of(stage)
        if drawn is not None and drawn.split != TRAIN:
            known = found.setdefault(drawn.split, [])
            known += [p.prompt for p in suite.problems(drawn.split)[: drawn.first]]
        if file is not None:
            found[f"the file of {stage.name}"] = texts_in(file, directory)
    return {name: list(dict.fromkeys(texts)) for name, texts in found.items()}


def seen_by(inputs: StageInputs, suite: Suite) -> dict[str, list[str]]:
    """The same for what an evaluation runs, with the texts that its recipe names; nothing if it compares nothing."""
    config = inputs.config
    if config.overlap is None:
        return {}
    stages = among(inputs.recipe.stages, evaluated(config), inputs.made_from)
    try:
        found = seen_texts(stages, suite, inputs.recipe_directory)
        if config.overlap.known is not None:
            path = inputs.recipe_directory / config.overlap.known
            found[f"the file {path.name}"] = read_texts(path)
    except DataError as error:
        raise DataError(f"{error} {REMEDY}") from error
    return found


def judge_has_learned(inputs: StageInputs, suite: Suite) -> frozenset[str]:
    """Texts of the problems whose labels the judge was trained on, normalised."""
    found: set[str] = set()
    for stage in among(inputs.recipe.stages, judges(inputs.config), inputs.made_from):
        drawn, file = sampled(stage), file_of(stage)
        if drawn is not None:
            found |= {normalised(p.prompt) for p in suite.problems(drawn.split)[: drawn.first]}
        if file is not None:
            found |= {normalised(text) for text in texts_in(file, inputs.recipe_directory)}
    return frozenset(found)


def texts_in(file: LearnedFile, directory: Path) -> list[str]:
    """Texts of the problems in a file of labels or pairs."""
    path = directory / file.path
    if isinstance(file, FileLabelsConfig):
        return [row.prompt for row in import_labels(path, file.format, Options(file.neutral, file.mark))]
    return [row.prompt for row in read_pairs(path)]


def write_texts(path: Path, texts: Iterable[str]) -> None:
    """Writes texts of problems for `read_texts`."""
    write_atomic(path, "".join(json.dumps({"prompt": text}, ensure_ascii=False) + "\n" for text in texts))


def read_texts(path: Path) -> list[str]:
    """The `prompt` of each line of a JSON-lines file.

    Raises:
        DataError: it cannot be read, or a line has none.
    """
    found = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict) or not isinstance(row.get("prompt"), str):
                    raise DataError(f"{path}:{number}: has no text `prompt`. Write one JSON object a line.")
                found.append(row["prompt"])
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read: {error}. Write one JSON object a line.") from error
    return found
