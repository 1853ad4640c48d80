"""`Estimate`: what each stage of a plan takes, and all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from o1kit.models.config import HttpEngineConfig
from o1kit.plan import Plan, PlannedStage
from o1kit.planning.facts import Facts, in_process, read_facts
from o1kit.planning.history import Correction, Entry, correction
from o1kit.planning.history import read as read_history
from o1kit.planning.lengths import Lengths, guessed
from o1kit.planning.machine import Machine
from o1kit.planning.memory import BASE, MIB, PROBLEM, Memory, head_parameters, memory_of, trainable
from o1kit.planning.prices import Prices
from o1kit.planning.rates import Rates, for_model, formula, seconds_of
from o1kit.planning.weights import Unknown, Weights, weights_of
from o1kit.planning.work import TRAIN, Work, work_of
from o1kit.recipe.schema import Recipe
from o1kit.stages.evaluate.config import EvaluateConfig

CHECKPOINTS = 3
"""Checkpoints of a stage on disk at most: two that are kept, and the one being written."""
TOKEN_ON_DISK = 14
"""Bytes of a token in a file of chains: its number, its log-probability, its text."""
RUNS_MB = 4 * MIB
"""Metrics, W&B files, tokenizer and settings of a stage."""


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """What one stage takes; None where that is not known."""

    stage: str
    kind: str
    parameters: int | None = None
    trainable: int | None = None
    work: Work | None = None
    memory: Memory | None = None
    peak: float | None = None
    """Bytes of the process in this stage, what earlier stages have left in it included."""
    disk: float | None = None
    """Bytes that stay."""
    disk_peak: float | None = None
    """Bytes while it runs, checkpoints and journals included."""
    seconds: float | None = None
    raw_seconds: float | None = None
    """Before any correction by earlier runs."""
    raw_peak: float | None = None
    cost: float | None = None
    basis: str = ""
    """What the time is from: `formula`, `probe`, either with `corrected by N runs`."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The stages, the machine they are planned for, and what is not known."""

    stages: tuple[StageEstimate, ...]
    machine: Machine
    start: float = 0.0
    """Seconds until the first stage begins."""
    missing: str = ""
    """Why nothing is known of the model; empty if it is."""
    currency: str = ""
    an_hour: float | None = None
    model: str = ""
    notes: tuple[str, ...] = field(default=())
    running: tuple[str, ...] | None = None
    """Names of the stages that are still to run, which the totals are of; None for all."""

    @property
    def counted(self) -> list[StageEstimate]:
        """The stages that are still to run."""
        return [s for s in self.stages if self.running is None or s.stage in self.running]

    @property
    def peak(self) -> float:
        """Largest peak memory of any stage that is to run, in bytes."""
        return max((s.peak for s in self.counted if s.peak is not None), default=0.0)

    @property
    def device_peak(self) -> float:
        """Most that any stage has on the device that computes, in bytes."""
        return max((s.memory.device for s in self.counted if s.memory is not None), default=0.0)

    @property
    def disk(self) -> float:
        """Bytes that the stages leave, and the most that one needs besides while it runs."""
        kept = sum(s.disk or 0.0 for s in self.counted)
        return kept + max(((s.disk_peak or 0.0) - (s.disk or 0.0) for s in self.counted), default=0.0)

    @property
    def seconds(self) -> float | None:
        """The stages and the start; None if one is not known."""
        known = [s.seconds for s in self.counted]
        return None if None in known else self.start * bool(known) + sum(s for s in known if s is not None)

    @property
    def cost(self) -> float | None:
        """Price of that time; None without one."""
        seconds = self.seconds
        return None if self.an_hour is None or seconds is None else self.an_hour * seconds / 3600

    @property
    def short(self) -> list[str]:
        """What the machine has too little of, in words."""
        m, gib = self.machine, 2**30
        on_host = self.peak if not m.gpu_memory else self.peak - self.device_peak
        checks = [("memory", on_host, m.memory), ("disk", self.disk, m.disk)]
        checks += [("GPU memory", self.device_peak, m.gpu_memory)] if m.gpu_memory else []
        missing = [(name, need, have) for name, need, have in checks if 0 < have < need]
        return [f"{name}: {need / gib:.1f} GiB needed, {have / gib:.1f} GiB there" for name, need, have in missing]


@dataclass(frozen=True, slots=True)
class Ground:
    """What estimates stand on."""

    machine: Machine
    facts: Facts | None = None
    history: Sequence[Entry] = ()
    prices: Prices | None = None


def ground(plan: Plan, machine: Machine, prices: Prices | None = None) -> Ground:
    """What is known here: a probe of this shape, and runs of before."""
    return Ground(machine, read_facts(plan.recipe, machine), read_history(), prices)


def for_recipe(known: Ground, measured: Recipe, other: Recipe) -> Ground:
    """The same knowledge for a recipe with changes: of another model, a probe's speeds are worked out anew."""
    if known.facts is None or measured.model == other.model:
        return known
    before, after = weights_of(measured), weights_of(other)
    if isinstance(before, Unknown) or isinstance(after, Unknown):
        return known
    rates = for_model(known.facts.rates, before, after, known.machine)
    return replace(known, facts=replace(known.facts, rates=rates))


def estimate(plan: Plan, directory: Path, known: Ground, running: Sequence[str] | None = None) -> Estimate:
    """What a plan takes.

    Args:
        plan: the stages.
        directory: folder that the recipe's paths start from.
        known: the machine, and what was measured on it.
        running: names of the stages that run in this process; None for all.
    """
    weights = weights_of(plan.recipe)
    prices, machine = known.prices, known.machine
    an_hour = prices.an_hour(machine.gpu or ("gpu" if machine.gpu_memory else "")) if prices is not None else None
    made = Estimate((), machine, currency=prices.currency if prices else "", an_hour=an_hour)
    lacking = prices.lacking() if prices is not None else ""
    left = None if running is None else tuple(running)
    made = replace(made, notes=(lacking,) if lacking else (), running=left)
    if isinstance(weights, Unknown):
        unknown = tuple(StageEstimate(s.name, s.kind) for s in plan.stages)
        return replace(made, stages=unknown, missing=weights.reason)
    if known.facts is not None and weights.vocabulary < known.facts.vocabulary:
        weights = _with_vocabulary(weights, known.facts.vocabulary)
    one = _Estimator(plan, weights, directory, known)
    stages, highest = [], 0.0
    for stage in plan.stages:
        found = one.stage(stage)
        if found.peak is not None and (running is None or stage.name in running):
            highest = max(highest, found.peak)
            found = replace(found, peak=highest)
        cost = None if an_hour is None or found.seconds is None else an_hour * found.seconds / 3600
        stages.append(replace(found, cost=cost))
    return replace(made, stages=tuple(stages), start=one.rates.start, model=one.model)


class _Estimator:
    """Everything that the stages of one plan have in common."""

    def __init__(self, plan: Plan, weights: Weights, directory: Path, known: Ground) -> None:
        self.recipe, self.weights, self.known = plan.recipe, weights, known
        facts = known.facts
        self.lengths = facts.lengths if facts is not None else guessed(plan.recipe, weights.context, directory)
        self.rates: Rates = facts.rates if facts is not None else formula(weights, known.machine)
        self.basis = "probe" if facts is not None else "formula"
        self.model = f"{weights.parameters}/{weights.layers}/{weights.hidden}/{weights.bytes_per_parameter}"
        self.engine = in_process(plan.recipe)
        self.problems = sum(split.num_problems for split in plan.recipe.tasks.values())

    def stage(self, stage: PlannedStage) -> StageEstimate:
        work = work_of(stage.config, self.recipe, self.lengths)
        if work is None:
            return StageEstimate(stage.name, stage.kind)
        weights, lengths = self.weights, self._longest(stage)
        memory = self._memory(stage.config, work, lengths)
        train = self.recipe.tasks.get(TRAIN)
        size = train.num_problems if train is not None else 0
        seconds = seconds_of(stage.config, work, self.rates, lengths, self.engine, self.problems, size)
        said = self._correction(stage.kind)
        disk, disk_peak = self._disk(stage.config, work, lengths)
        lora = getattr(stage.config, "lora", None)
        added = weights.lora_parameters(lora) if lora is not None else 0
        runs = f", corrected by {said.runs} run{'s' * (said.runs != 1)}" if said.runs else ""
        return StageEstimate(
            stage.name,
            stage.kind,
            parameters=weights.parameters + added + head_parameters(stage.config, weights),
            trainable=trainable(stage.config, weights),
            work=work,
            memory=memory,
            peak=memory.total * said.memory,
            disk=disk,
            disk_peak=disk_peak,
            seconds=seconds * said.seconds,
            raw_seconds=seconds,
            raw_peak=memory.total,
            basis=f"{self.basis}{runs}",
        )

    def _longest(self, stage: PlannedStage) -> Lengths:
        """The lengths that decide about memory and waiting: those of the split with the longest chains."""
        names = stage.config.splits if isinstance(stage.config, EvaluateConfig) else [TRAIN]
        found = [self.lengths[name] for name in names if name in self.lengths] or list(self.lengths.values())
        return max(found, key=lambda one: one.prompt_max + one.chain_max)

    def _memory(self, stage: Any, work: Work, lengths: Lengths) -> Memory:
        facts = self.known.facts
        base = facts.base if facts is not None else BASE
        found = memory_of(stage, work, self.weights, lengths, self.engine, base, self.problems)
        if isinstance(self.recipe.engine, HttpEngineConfig) and not work.steps and not work.engines:
            found = replace(found, weights=0.0)
        each = facts.problem if facts is not None else PROBLEM
        return replace(found, problems=self.problems * each)

    def _correction(self, kind: str) -> Correction:
        return correction(self.known.history, self.known.machine.fingerprint, self.model, kind, self.basis)

    def _disk(self, stage: Any, work: Work, lengths: Lengths) -> tuple[float, float]:
        """What stays, and the most while it runs."""
        model = self.weights.parameters * self.weights.bytes_per_parameter
        count = trainable(stage, self.weights)
        chains = work.written * lengths.row + (work.generated if isinstance(stage, EvaluateConfig) else 0.0)
        kept = RUNS_MB + (model if count else 0) + chains * TOKEN_ON_DISK
        checkpoint = model + 2 * count * self.weights.bytes_per_parameter if count else 0
        return kept, kept + CHECKPOINTS * checkpoint + work.generated * TOKEN_ON_DISK


def _with_vocabulary(weights: Weights, vocabulary: int) -> Weights:
    """The same for a tokenizer with characters that only the problems hold, which a probe has counted."""
    shapes = {n: (vocabulary, s[1]) if "embed_tokens" in n else s for n, s in weights.shapes.items()}
    return replace(weights, shapes=shapes, vocabulary=vocabulary)


def as_data(found: Estimate) -> dict[str, Any]:
    """An estimate as plain data, for `--json` and `plan.json`."""
    data = {k: v for k, v in asdict(found).items() if k != "stages"}
    totals = {name: getattr(found, name) for name in ("peak", "device_peak", "disk", "seconds", "cost", "short")}
    return {**data, **totals, "stages": [asdict(stage) for stage in found.stages]}
