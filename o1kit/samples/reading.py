"""The rows of a stage, made by the very functions that make them when it runs, with the recipe's own tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from o1kit.artifacts import read_artifact
from o1kit.engines.policy import PromptTemplate
from o1kit.engines.spelling import spell_record
from o1kit.errors import DataError, RecipeError
from o1kit.models.reading import reading_ids
from o1kit.plan import Plan, PlannedStage
from o1kit.protocols import Artifact, StageInputs
from o1kit.registry import suggestion
from o1kit.report.label_schema import LabelRecord
from o1kit.report.labels import LABELS, PAIRS, read_labels, read_pairs
from o1kit.samples.sample import Samples, TokenRow, Totals
from o1kit.stages.dpo.config import StagePairsConfig
from o1kit.stages.dpo.data import Counts as PairCounts
from o1kit.stages.dpo.data import Pair, encode_pair
from o1kit.stages.prm.config import StageLabelsConfig
from o1kit.stages.prm.data import PrmData
from o1kit.stages.prm.examples import Builder, Example
from o1kit.stages.prm.sources import Source, written
from o1kit.stages.prm.stage import reading_of
from o1kit.stages.sequences import HELD_OUT, held_out
from o1kit.stages.sft.data import SftData, encode_row
from o1kit.stages.start import recipe_template, suite_of
from o1kit.tasks.suite import Suite

TRAIN, HELDOUT = "train", "heldout"
TEACHING = ("sft", "prm", "dpo")
"""Kinds of stages with rows of their own: what the others learn from they make when they run."""


class Wanted(NamedTuple):
    """Which rows are asked for."""

    stage: str | None = None
    first: int = 3
    split: str = TRAIN
    run: Path | None = None


class _Stage(NamedTuple):
    """A stage with what its rows are made of."""

    config: Any
    inputs: StageInputs
    suite: Suite
    template: PromptTemplate
    context: int
    wanted: Wanted


def samples(plan: Plan, recipe_directory: Path, wanted: Wanted) -> tuple[PromptTemplate, Samples]:
    """What a stage of a plan trains on, and the tokenizer to read it with.

    Raises:
        RecipeError: there is no such stage.
        DataError: its rows cannot be made, or it makes them when it runs and no run is given.
    """
    planned = _planned(plan, wanted.stage)
    directory = (wanted.run or Path("no-run")) / planned.name
    artifacts = {name: _artifact(wanted.run, name, planned.name) for name in _needed(planned)}
    inputs = StageInputs(
        planned.config, plan.recipe, recipe_directory.resolve(), directory, artifacts, planned.seed, planned.fingerprint
    )
    suite = suite_of(inputs)
    template, context = recipe_template(inputs, suite)
    stage = _Stage(planned.config, inputs, suite, template, context, wanted)
    return template, _READERS.get(planned.kind, _prompts)(stage)


def _planned(plan: Plan, name: str | None) -> PlannedStage:
    found = next((s for s in plan.stages if (s.name == name if name else s.kind in TEACHING)), None)
    if found is None and name is None:
        found = plan.stages[0]
    if found is None:
        raise RecipeError(f"--stage {name}: no such stage.{suggestion(str(name), [s.name for s in plan.stages])}")
    return found


def _needed(planned: PlannedStage) -> list[str]:
    """The earlier stages whose files a stage reads its rows from."""
    sections = (getattr(planned.config, name, None) for name in ("labels", "pairs"))
    return [section.stage for section in sections if isinstance(section, StageLabelsConfig | StagePairsConfig)]


def _artifact(run: Path | None, name: str, reader: str) -> Artifact:
    found = read_artifact(run / name) if run is not None else None
    if found is None:
        where = f"{run} has no finished stage {name!r}" if run is not None else "no run is given"
        raise DataError(
            f"stage {reader!r} reads what {name!r} has written, and {where}. Run it, then add --run FOLDER."
        )
    return found


def _sft(stage: _Stage) -> Samples:
    """Chains of thought of a split, as they are trained on."""
    data = SftData(stage.config, stage.suite, stage.template, stage.context, stage.inputs.seed)
    totals, refused = Totals(stage.wanted.first), []
    for problem, steps in data.chains(stage.wanted.split):
        try:
            row = encode_row(stage.template, problem, steps, stage.context)
        except DataError as error:
            refused.append(str(error))
            continue
        length = len(row.token_ids)
        trained = tuple(i >= row.prompt_length for i in range(length))
        totals.add(TokenRow(problem.id, tuple(row.token_ids), trained, prompt_length=row.prompt_length))
    figures = totals.figures() | {"cut": 0, "refused": len(refused)}
    if refused:
        figures["first refused"] = refused[0]
    return Samples(totals.shown, figures, f"chains of {stage.wanted.split}")


def _prm(stage: _Stage) -> Samples:
    """Sequences with labels at the tokens where they are read."""
    config = stage.config
    source = written(stage.inputs) or _sampled(stage)
    mark = reading_ids(reading_of(config), stage.template.tokenizer).mark
    builder = Builder(config, stage.template, mark, stage.context, stage.inputs.seed)
    data = PrmData(config, source, builder, stage.inputs.seed)
    data.setup("fit")
    examples = data.heldout_examples if stage.wanted.split == HELDOUT else data.train_examples
    totals = Totals(stage.wanted.first)
    for example in examples:
        totals.add(_labelled(example, stage.template.eos_id))
    counts = {name.removeprefix("labels/"): int(n) for name, n in builder.counts.summary().items()}
    return Samples(totals.shown, totals.figures() | counts, f"{_kept(stage)} chains of {source.place}")


def _sampled(stage: _Stage) -> Source:
    """The labels that a stage has sampled itself, in its own folder."""
    path = stage.inputs.directory / LABELS
    if not path.is_file():
        raise DataError(
            f"stage {stage.config.name!r} samples its labels when it runs. Run it, then show them with "
            f"--run runs/{stage.inputs.recipe.name}."
        )
    return Source(str(path), lambda: read_labels(path))


def _labelled(example: Example, eos_id: int) -> TokenRow:
    marks = {end: f"{label:.2f}" for end, label in zip(example.ends, example.labels, strict=True)}
    trained = tuple(i in marks for i in range(len(example.token_ids)))
    ended = example.token_ids[-1] == eos_id
    notes = () if ended or example.complete else ("not finished, or cut at the context",)
    return TokenRow(example.problem, example.token_ids, trained, marks, notes=notes)


def _dpo(stage: _Stage) -> Samples:
    """The better and the other chain of each pair."""
    section = stage.config.pairs
    if isinstance(section, StagePairsConfig):
        path = stage.inputs.artifacts[section.stage].directory / PAIRS
    else:
        path = stage.inputs.recipe_directory / section.path
    return _pairs(stage, path, masks=stage.config.mask_shared_prefix, keeps=True)


def _pairs(stage: _Stage, path: Path, *, masks: bool, keeps: bool) -> Samples:
    counts = PairCounts()
    made = (encode_pair(stage.template, record, stage.context, counts) for record in read_pairs(path))
    pairs = [pair for pair in made if pair is not None]
    held = held_out([pair.problem for pair in pairs], HELD_OUT) if keeps else [False] * len(pairs)
    totals = Totals(stage.wanted.first)
    for pair, is_held in zip(pairs, held, strict=True):
        if is_held == (keeps and stage.wanted.split == HELDOUT):
            totals.add(_chain(pair, pair.chosen, "better", masks), _chain(pair, pair.rejected, "other", masks))
    counts.pairs, counts.shared_tokens = len(pairs), sum(pair.shared for pair in pairs)
    about = f"{_kept(stage) if keeps else 'all'} pairs of {path}"
    return Samples(totals.shown, totals.figures() | asdict(counts), about)


def _chain(pair: Pair, chain: tuple[int, ...], side: str, masks: bool) -> TokenRow:
    given = len(pair.prompt_ids)
    counted = given + (pair.shared if masks else 0)
    tokens = (*pair.prompt_ids, *chain)
    trained = tuple(i >= counted for i in range(len(tokens)))
    note = f"the first {pair.shared} tokens of the chain are those of both"
    return TokenRow(f"{pair.problem} ({side})", tokens, trained, prompt_length=given, notes=(note,))


def _labels(stage: _Stage) -> Samples:
    """Labelled chains that a stage has written; nothing of them is trained on yet."""
    return _written_rows(stage, LABELS, read_labels, lambda record: _spelled(stage, record))


def _spelled(stage: _Stage, record: LabelRecord) -> TokenRow:
    spelling = spell_record(stage.template, record)
    tokens, marks = list(spelling.prompt_ids), {}
    for ids, label in zip(spelling.step_ids, record.labels, strict=True):
        tokens += ids
        marks[len(tokens) - 1] = "-" if label is None else f"{label:.2f}"
    length = len(spelling.prompt_ids)
    return TokenRow(record.problem, tuple(tokens), (False,) * len(tokens), marks, prompt_length=length)


def _written_rows(
    stage: _Stage, name: str, read: Callable[[Path], Iterable[Any]], make: Callable[[Any], TokenRow]
) -> Samples:
    path = stage.inputs.directory / name
    if not path.is_file():
        return _prompts(stage)
    totals = Totals(stage.wanted.first)
    for record in read(path):
        totals.add(make(record))
    return Samples(totals.shown, totals.figures(), f"chains of {path}; nothing is trained")


def _pairs_stage(stage: _Stage) -> Samples:
    path = stage.inputs.directory / PAIRS
    if not path.is_file():
        return _prompts(stage)
    return _pairs(stage, path, masks=True, keeps=False)


def _prompts(stage: _Stage) -> Samples:
    """The prompts of a split: what is learned from them is made when the stage runs."""
    totals = Totals(stage.wanted.first)
    for problem in stage.suite.problems(stage.wanted.split):
        ids = tuple(stage.template.prompt(problem))
        answer = f"the answer is {stage.suite.truth(problem).answer}"
        totals.add(TokenRow(problem.id, ids, (False,) * len(ids), prompt_length=len(ids), notes=(answer,)))
    about = f"prompts of {stage.wanted.split}: stage {stage.config.name!r} makes its chains when it runs"
    return Samples(totals.shown, totals.figures(), about)


def _kept(stage: _Stage) -> str:
    return "held-out" if stage.wanted.split == HELDOUT else "training"


_READERS: dict[str, Callable[[_Stage], Samples]] = {
    "sft": _sft,
    "prm": _prm,
    "dpo": _dpo,
    "labels": _labels,
    "pairs": _pairs_stage,
}
