"""`Rates`: seconds that units of work take, from a formula or measured by a probe; time = counted work x rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from o1kit.models.config import TorchEngineConfig
from o1kit.planning.lengths import Lengths
from o1kit.planning.machine import Machine
from o1kit.planning.weights import Weights
from o1kit.planning.work import Work
from o1kit.stages.sft.config import SftConfig

TRAINING, READING, DRAWING = 30e9, 40e9, 20e9
"""Operations a second and core, in float32, that training, reading and drawing come to: measured here, rounded down."""
ADAPTERS = 0.75
"""What a trained token costs with adapters, relative to training all weights: no gradients of frozen matrices."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds a unit."""

    start: float = 12.0
    """The process: imports."""
    stage: float = 1.5
    """A stage, whatever it does: model, folders, trainer."""
    problem: float = 1.2e-4
    """Making a problem."""
    row: float = 3e-4
    """Writing a chain and turning it into tokens."""
    step: float = 0.01
    """An optimizer step besides its tokens."""
    trained: float = 1e-4
    """A token forward and backward, all weights trained."""
    drawn: float = 1e-4
    """A drawn token besides its pass."""
    drawing: float = 3e-3
    """A pass of the engine besides its tokens."""
    read: float = 3e-5
    """A token forward."""
    answer: float = 5e-4
    """Grading an answer."""
    grading: float = 3.0
    """Starting the processes that grade."""


def formula(weights: Weights, machine: Machine) -> Rates:
    """Rates by operations a token, for a machine that nothing is known of but its threads."""
    threads = machine.threads
    # A tied embedding is the output layer too; one of its own is only looked up in.
    active = weights.parameters - (weights.embedding if "lm_head.weight" in weights.shapes else 0)
    return Rates(
        step=0.005 + 20 * weights.parameters / 2e9,
        trained=6 * active / (TRAINING * threads),
        drawn=2 * active / (DRAWING * threads),
        drawing=3e-4 * weights.layers + 4 * weights.parameters / 1e10,
        read=2 * active / (READING * threads),
    )


def for_model(rates: Rates, measured: Weights, other: Weights, machine: Machine) -> Rates:
    """Rates measured with one model, for another: changed as much as the formula's are."""
    before, after = asdict(formula(measured, machine)), asdict(formula(other, machine))
    return Rates(**{k: v * (after[k] / before[k] if before[k] else 1.0) for k, v in asdict(rates).items()})


def as_rates(data: object) -> Rates | None:
    """What `asdict` made of rates; None if it is anything else."""
    names = {field.name for field in fields(Rates)}
    if not isinstance(data, Mapping) or set(data) != names:
        return None
    numbers = {str(k): float(v) for k, v in data.items() if isinstance(v, int | float) and v >= 0}
    return Rates(**numbers) if set(numbers) == names else None


def seconds_of(
    stage: Any, work: Work, rates: Rates, lengths: Lengths, engine: TorchEngineConfig, problems: int, size: int
) -> float:
    """Seconds of a stage.

    Args:
        stage: its section.
        work: what it computes.
        rates: how fast.
        lengths: of what it samples.
        engine: how many sequences are drawn together.
        problems: problems of all splits, which every stage makes.
        size: problems of the split that is trained on.
    """
    adapted = ADAPTERS if getattr(stage, "lora", None) is not None else 1.0
    rows = max(1, min(work.rows, engine.max_batch))
    passes = work.generated / rows + work.waves * lengths.chain_max
    return (
        rates.stage
        + problems * rates.problem
        + (size * rates.row if isinstance(stage, SftConfig) else 0.0)
        + work.steps * rates.step
        + work.trained * rates.trained * adapted
        + work.generated * rates.drawn
        + (passes * rates.drawing if work.generated else 0.0)
        + (work.read + work.scored) * rates.read
        + work.answers * rates.answer
        + (rates.grading if work.answers else 0.0)
    )


def plain(rates: Rates) -> dict[str, float]:
    """The rates as plain data."""
    return asdict(rates)
