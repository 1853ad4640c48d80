"""Peak memory of a stage by component, in bytes.

What training keeps for the backward pass was counted with autograd's hooks (tests/planning compares): of each layer and
token 9 widths of the residual stream, 2 of the keys, 4 of the feed-forward layer; adapters save 3 of the 9 and add
their ranks. What the engine keeps follows from `engine.memory_mb` and `max_batch`, as o1kit/engines/torch does it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from o1kit.models.config import LoraConfig, TorchEngineConfig
from o1kit.planning.lengths import Lengths
from o1kit.planning.weights import Weights
from o1kit.planning.work import Work
from o1kit.recipe.judges import judges_here
from o1kit.stages.dpo.config import DpoConfig
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.stages.ppo.config import PpoConfig
from o1kit.stages.prm.config import PrmConfig
from o1kit.stages.sft.config import SftConfig

MIB = 2**20
BASE = 560 * MIB
"""A process with torch, Lightning, transformers and W&B in it, before any model: measured here, other builds differ."""
PROBLEM = 2600
"""A problem with its truth and, where one is taught, its row of tokens."""
FLOAT = 4
CHUNK = 32
"""Sequences of a PPO batch that go through the model together; what they keep for the backward pass adds up."""
RESIZED = 1.75
"""Keys and values of the rows are made anew as chains grow, the old beside the new; freed room is not always of use."""
LOST = 0.55
"""Part of a pass's short-lived tensors whose room is not used again while it lasts: glibc's aligned allocations ask for
a little more than they need, so a hole does not fit a tensor of its own size. Measured with and without adapters."""
TRAINER = 20 * MIB
"""Trainer, loggers and what libraries import late."""
GROWTH = 64
"""Positions of rows are made in multiples of this."""
PREFILL = 8192
"""Most tokens of a pass of the engine besides the one of each row."""
DRAWN = 5
"""Copies of a row's logits while a token is drawn."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Components of a stage's peak, in bytes."""

    base: float = 0.0
    """The process without models and problems."""
    problems: float = 0.0
    """Problems, their truths and rows."""
    weights: float = 0.0
    """The model that is trained or searched with."""
    other_models: float = 0.0
    """References, reward models and further policies."""
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    """What passes keep or need while they run, logits included."""
    kv_cache: float = 0.0
    """Keys and values of the engines."""

    @property
    def total(self) -> float:
        """All of them."""
        return float(sum(getattr(self, field.name) for field in fields(self)))

    @property
    def device(self) -> float:
        """What lies on the device that computes."""
        return self.total - self.base - self.problems


def saved_per_token(weights: Weights, lora: LoraConfig | None) -> float:
    """Bytes that the layers keep for the backward pass, for each token."""
    widths = 9 * weights.hidden + 2 * weights.kv_width + 4 * weights.intermediate
    ranks = 0
    if lora is not None:
        widths -= 3 * weights.hidden
        ranks = lora.rank * sum(count for *_, count in weights.adapted(lora)) * FLOAT
    return weights.layers * widths * weights.bytes_per_parameter + ranks


def lost_per_token(weights: Weights, lora: LoraConfig | None) -> float:
    """Bytes of short-lived tensors that a training pass cannot use again, for each token."""
    widths = 8 * weights.hidden + 3 * weights.kv_width
    if lora is not None:  # each adapted layer makes its own output, the adapter's, and that scaled
        widths += 3 * sum(outputs * count for _, outputs, count in weights.adapted(lora)) // max(1, weights.layers)
    return LOST * weights.layers * widths * weights.bytes_per_parameter


def trainable(stage: Any, weights: Weights) -> int:
    """Parameters that a stage trains; 0 if it trains none."""
    if not isinstance(stage, SftConfig | PrmConfig | DpoConfig | PpoConfig):
        return 0
    found = weights.parameters if stage.lora is None else weights.lora_parameters(stage.lora)
    return found + head_parameters(stage, weights)


def head_parameters(stage: Any, weights: Weights) -> int:
    """Parameters of a value or reward head, and of the weights of surprise."""
    if isinstance(stage, PpoConfig):
        return weights.hidden + 1
    if isinstance(stage, PrmConfig):
        return (weights.hidden + 1) * (stage.reading.by == "head") + 3 * stage.reading.surprise
    return 0


def memory_of(
    stage: Any, work: Work, weights: Weights, lengths: Lengths, engine: TorchEngineConfig, base: float, problems: int
) -> Memory:
    """The peak of a stage, as if it ran in a process of its own."""
    size, count = weights.bytes_per_parameter, trainable(stage, weights)
    lora = getattr(stage, "lora", None)
    extra = weights.lora_parameters(lora) * FLOAT if lora is not None else 0
    return Memory(
        base=base + TRAINER,
        problems=problems * PROBLEM,
        weights=weights.parameters * size + extra,
        other_models=_others(stage) * weights.parameters * size,
        gradients=count * size,
        optimizer=_optimizer(stage, weights, count) * size,
        activations=max(
            _training(stage, work, weights, lengths),
            _reading(stage, work, weights, lengths),
            _sampling(work, weights, lengths, engine),
        ),
        kv_cache=_kv(work, weights, lengths, engine),
    )


def _others(stage: Any) -> int:
    """Further models in memory: references, judges, policies."""
    if isinstance(stage, EvaluateConfig):
        return len(stage.policies) - 1 + judges_here(stage)
    return isinstance(stage, PpoConfig | PrmConfig | DpoConfig) + judges_here(stage)


def _optimizer(stage: Any, weights: Weights, count: int) -> int:
    """Numbers that the optimizer keeps: two a parameter, one for matrices under Muon."""
    if not count:
        return 0
    muon = 0
    if stage.optimizer.muon_lr is not None:
        muon = weights.matrices if stage.lora is None else weights.lora_parameters(stage.lora)
    return 2 * count - muon


def _training(stage: Any, work: Work, weights: Weights, lengths: Lengths) -> float:
    """What the largest batch keeps for its backward pass, and the logits."""
    if not work.steps:
        return 0.0
    lora, logits = getattr(stage, "lora", None), weights.vocabulary * FLOAT
    saved = saved_per_token(weights, lora) + lost_per_token(weights, lora)
    context = weights.context
    if isinstance(stage, PpoConfig):
        rows, longest = min(work.batch, CHUNK), lengths.sampled_max(context)
        tokens = rows * longest + max(0, work.batch - rows) * 1.15 * lengths.row
        chains = rows * (longest - lengths.prompt) + max(0, work.batch - rows) * 1.15 * lengths.chain
        return tokens * saved + (chains + 2 * rows * (longest - lengths.prompt)) * logits
    sampled = isinstance(stage, PrmConfig | DpoConfig)
    longest = lengths.sampled_max(context) if sampled else lengths.row_max(context)
    tokens = work.batch * longest
    read = 0 if isinstance(stage, PrmConfig) else work.batch * max(1, longest - lengths.prompt)
    return tokens * saved + 2 * read * logits


def _reading(stage: Any, work: Work, weights: Weights, lengths: Lengths) -> float:
    """What a plain pass over finished chains needs while it runs."""
    if not work.reads_at_once:
        return 0.0
    longest = lengths.sampled_max(weights.context)
    layer = (6 * weights.hidden + 3 * weights.intermediate) * weights.bytes_per_parameter
    logits = 0 if isinstance(stage, PrmConfig) else 3 * weights.vocabulary * FLOAT
    return work.reads_at_once * (longest * layer + max(1.0, longest - lengths.prompt) * logits)


def _sampling(work: Work, weights: Weights, lengths: Lengths, engine: TorchEngineConfig) -> float:
    """What a pass of the engine needs while it runs."""
    if not work.engines:
        return 0.0
    rows = min(work.rows, engine.max_batch)
    layer = (6 * weights.hidden + 3 * weights.intermediate) * weights.bytes_per_parameter
    prompts = min(PREFILL, rows * lengths.prompt_max)
    return prompts * layer + DRAWN * rows * weights.vocabulary * FLOAT


def _kv(work: Work, weights: Weights, lengths: Lengths, engine: TorchEngineConfig) -> float:
    """Keys and values: of as many rows as the bound admits, and of prefixes up to as much again."""
    if not work.engines:
        return 0.0
    half = engine.memory_mb * MIB / 2
    row = positions(lengths.sampled_max(weights.context)) * weights.kv_bytes
    slab = RESIZED * min(engine.max_batch, max(1, int(half // max(row, 1)))) * row
    return work.engines * (slab + min(half, work.prefixes * weights.kv_bytes))


def positions(longest: int) -> int:
    """Positions that the engine's rows have once the longest has grown to its length: half as many more each time."""
    found = GROWTH
    while found < longest:
        found = -(-((found + 1) * 3 // 2) // GROWTH) * GROWTH
    return found
