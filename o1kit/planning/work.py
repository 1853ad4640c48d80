"""`Work`: what a stage has to compute, counted from its section."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from o1kit.models.config import HttpEngineConfig
from o1kit.planning.lengths import Lengths
from o1kit.planning.searches import SHARED, Taken, taken_by
from o1kit.recipe.judges import judges_here
from o1kit.recipe.schema import Recipe
from o1kit.search.config import BestOfNConfig, GreedyConfig, SampleConfig
from o1kit.stages.dpo.config import DpoConfig
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.stages.labels.config import LabelsConfig, MonteCarloLabelsConfig, OmegaLabelsConfig
from o1kit.stages.ppo.config import PpoConfig
from o1kit.stages.prm.config import PrmConfig
from o1kit.stages.rollout.config import RolloutConfig
from o1kit.stages.sft.config import SftConfig

TRAIN = "train"
HELD_OUT = 10
"""One problem in this many is kept out of training, and measured on."""
FOUND = 0.35
"""Part of a tree's samples that end as different chains, which PPO learns from."""
CONCURRENCY = 512
"""Problems that are searched at the same time."""


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens and steps of a stage. Tokens are those of whole sequences: padding comes on top."""

    steps: int = 0
    """Optimizer steps."""
    batch: int = 0
    """Sequences a step."""
    trained: float = 0.0
    """Tokens that go forward and backward."""
    generated: float = 0.0
    """Tokens that are drawn, in this process or by servers."""
    scored: float = 0.0
    """Tokens read by reward models."""
    read: float = 0.0
    """Tokens of prompts, and of plain forward passes of the trainer."""
    answers: float = 0.0
    """Answers that are graded."""
    written: float = 0.0
    """Chains that are written to disk."""
    rows: int = 0
    """Sequences that may be drawn at the same time."""
    waves: int = 0
    """Times that drawing starts anew, and waits for its longest chain."""
    engines: int = 0
    """Engines in this process, each with keys and values of its own."""
    prefixes: float = 0.0
    """Tokens whose keys and values an engine keeps at most."""
    reads_at_once: float = 0.0
    """Chains that go through a model together outside the engine, at most."""


Count = Callable[[Any, Recipe, Mapping[str, Lengths]], Work]


def work_of(stage: Any, recipe: Recipe, lengths: Mapping[str, Lengths]) -> Work | None:
    """What a stage computes; None for kinds of stages that are not known here, such as a plugin's."""
    for section, count in _COUNTS:
        if isinstance(stage, section):
            found: Work = count(stage, recipe, lengths)
            served = isinstance(recipe.engine, HttpEngineConfig) and not isinstance(stage, PrmConfig)
            return replace(found, engines=max(0, found.engines - 1)) if served else found
    return None


def training_lengths(lengths: Mapping[str, Lengths]) -> Lengths:
    """Those of the problems that are trained on, or of the first split there is."""
    return lengths.get(TRAIN) or next(iter(lengths.values()))


def _sft(stage: SftConfig, recipe: Recipe, lengths: Mapping[str, Lengths]) -> Work:
    tokens = stage.steps * stage.batch_size * training_lengths(lengths).row
    return Work(steps=stage.steps, batch=stage.batch_size, trained=tokens)


def _sampled_labels(source: Any, of: Lengths) -> Work:
    """What labels by sampling take."""
    problems = int(source.num_problems)
    if isinstance(source, MonteCarloLabelsConfig):
        prefixes = max(of.steps - 1, 0.0) * source.chains
        completions = prefixes * source.completions
        generated = source.chains * of.chain + completions * of.chain * SHARED
        ends = source.chains + completions
        kept = of.row + (source.chains - 1) * of.chain
    else:
        assert isinstance(source, OmegaLabelsConfig)
        searched = source.num_iterations * 2.0 * source.completions  # a search by halves tries about two prefixes
        generated = source.rollouts * of.chain + searched * of.chain * SHARED
        if source.token_budget is not None:
            generated = min(generated, source.token_budget + source.completions * of.chain)
        ends = source.rollouts + searched
        kept = of.row
    return Work(
        generated=problems * generated,
        read=problems * kept,
        answers=problems * ends,
        written=problems * ends,
        rows=int(min(problems, CONCURRENCY) * max(1.0, ends)),
        waves=1,
        engines=1,
        prefixes=problems * kept,
    )


def _labels(stage: LabelsConfig, recipe: Recipe, lengths: Mapping[str, Lengths]) -> Work:
    source, of = stage.source, lengths.get(stage.split) or training_lengths(lengths)
    if isinstance(source, MonteCarloLabelsConfig | OmegaLabelsConfig):
        return _sampled_labels(source, of)
    if source.kind == "judge":
        asked = next((s for s in recipe.stages if s.name == source.of), None)
        chains = work_of(asked, recipe, lengths) if asked is not None else None
        written = chains.written if chains is not None else 0.0
        return Work(read=written * of.row * of.steps, written=written, rows=256, waves=1, engines=1)
    return Work()


def _prm(stage: PrmConfig, recipe: Recipe, lengths: Mapping[str, Lengths]) -> Work:
    of = training_lengths(lengths)
    sampled = isinstance(stage.labels, MonteCarloLabelsConfig | OmegaLabelsConfig)
    found = _sampled_labels(stage.labels, of) if sampled else Work(written=_written(stage.labels, recipe, lengths))
    return replace(
        found,
        steps=stage.steps,
        batch=stage.batch_size,
        trained=stage.steps * stage.batch_size * of.row,
        read=found.read + found.written / HELD_OUT * of.row,
        reads_at_once=min(128.0, found.written / HELD_OUT),
    )


def _written(source: Any, recipe: Recipe, lengths: Mapping[str, Lengths]) -> float:
    """Chains that an earlier stage wrote; none of a file's, whose length nobody has counted."""
    stage = next((s for s in recipe.stages if s.name == getattr(source, "stage", None)), None)
    found = work_of(stage, recipe, lengths) if stage is not None else None
    return found.written if found is not None else 0.0


def _dpo(stage: DpoConfig, recipe: Recipe, lengths: Mapping[str, Lengths]) -> Work:
    row, pairs = training_lengths(lengths).row, _written(stage.pairs, recipe, lengths)
    return Work(
        steps=stage.steps,
        batch=2 * stage.batch_size,
        trained=2 * stage.steps * stage.batch_size * row,
        read=2 * pairs * row,
        reads_at_once=min(128.0, 2 * pairs),
    )


def _ppo(stage: PpoConfig, recipe: Recipe, lengths: Mapping[str, Lengths]) -> Work:
    of = training_lengths(lengths)
    taken = taken_by(stage.search, of, stage.judge is not None)
    rounds, problems = stage.iterations, stage.problems_per_iteration
    chains = max(1.0, FOUND * taken.chains * (2 if stage.search.kind == "mcts" else 1)) * problems
    steps = rounds * stage.updates_per_iteration
    per_round = problems * taken.prompts + chains * of.row
    return Work(
        steps=steps,
        batch=stage.batch_size,
        trained=steps * stage.batch_size * of.row,
        generated=rounds * problems * taken.generated,
        scored=rounds * problems * taken.scored,
        read=rounds * per_round,
        answers=rounds * (chains + problems * taken.chains),
        rows=min(problems, CONCURRENCY) * taken.width,
        waves=rounds * (2 if stage.search.kind == "mcts" else 1),  # what grows from a leaf waits for the leaf
        engines=1 + judges_here(stage),
        prefixes=problems * (of.row + taken.generated * SHARED),
        reads_at_once=min(256.0, chains),
    )


def _rollout(stage: RolloutConfig, recipe: Recipe, lengths: Mapping[str, Lengths]) -> Work:
    of = lengths.get(stage.split) or training_lengths(lengths)
    split = recipe.tasks.get(stage.split)
    problems = min(stage.num_problems or 2**62, split.num_problems if split else 2**62) * stage.samples
    taken = taken_by(stage.search, of, stage.judge is not None)
    found = _searched(problems, [taken], of)
    return replace(found, written=problems * taken.chains, engines=1 + judges_here(stage))


def _evaluate(stage: EvaluateConfig, recipe: Recipe, lengths: Mapping[str, Lengths]) -> Work:
    judged = stage.judge is not None or stage.judge_folder is not None
    found = Work(engines=1 + judges_here(stage))
    for split in stage.splits:
        of, problems = lengths.get(split) or training_lengths(lengths), recipe.tasks[split].num_problems
        one = _searched(problems, _shared(stage, of, judged), of)
        found = replace(
            found,
            rows=max(found.rows, one.rows),
            prefixes=max(found.prefixes, one.prefixes),
            **{
                name: getattr(found, name) + len(stage.policies) * getattr(one, name)
                for name in ("generated", "scored", "read", "answers", "waves")
            },
        )
    return found


def _shared(stage: EvaluateConfig, of: Lengths, judged: bool) -> list[Taken]:
    """What the searches of an evaluation take; plain samples alike are drawn once, for the search with most of them."""
    alone: list[Taken] = []
    alike: dict[str, list[Taken]] = {}
    for search in stage.searches:
        taken, times = taken_by(search, of, judged), 1 if isinstance(search, GreedyConfig) else stage.seeds
        taken = taken._replace(**{n: times * getattr(taken, n) for n in ("generated", "scored", "prompts", "chains")})
        if isinstance(search, SampleConfig) or (isinstance(search, BestOfNConfig) and search.diversity is None):
            alike.setdefault(str(search.decoding), []).append(taken)
        else:
            alone.append(taken)
    for group in alike.values():
        most = max(group, key=lambda t: t.generated)
        alone.append(most._replace(scored=max(t.scored for t in group)))
    return alone


def _searched(problems: int, searches: Sequence[Taken], of: Lengths) -> Work:
    total = {name: sum(getattr(t, name) for t in searches) for name in ("generated", "scored", "prompts", "chains")}
    trees = sum(t.generated * SHARED for t in searches if t.scored and t.width < t.chains + 1)
    return Work(
        generated=problems * total["generated"],
        scored=problems * total["scored"],
        read=problems * total["prompts"],
        answers=problems * total["chains"],
        rows=min(problems, CONCURRENCY) * max(t.width for t in searches),
        waves=len(searches),
        engines=1,
        prefixes=problems * (of.prompt + trees),
    )


_COUNTS: tuple[tuple[type, Any], ...] = (
    (SftConfig, _sft),
    (LabelsConfig, _labels),
    (PrmConfig, _prm),
    (DpoConfig, _dpo),
    (PpoConfig, _ppo),
    (RolloutConfig, _rollout),
    (EvaluateConfig, _evaluate),
)
