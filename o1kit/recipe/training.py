"""What the numbers and names of a stage that trains say about one another, and about the recipe's model."""

from __future__ import annotations

import re
from typing import Any

from o1kit.models.config import LoraConfig, ScratchModelConfig
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import Path, Source
from o1kit.registry import suggestion
from o1kit.replay.config import PrioritizedReplayConfig
from o1kit.stages.config import OptimizerConfig
from o1kit.stages.dpo.config import DpoConfig
from o1kit.stages.ppo.config import PpoConfig
from o1kit.stages.prm.config import PrmConfig
from o1kit.stages.sft.config import SftConfig

LAYERS = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), "self_attn"),
    **dict.fromkeys(("gate_proj", "up_proj", "down_proj"), "mlp"),
}
"""The linear layers of a block of a model made here, and the part of the block that each is in."""
OUTSIDE = ("model.embed_tokens", "lm_head")
"""What else can have an adapter."""
_LAYER = re.compile(r"(?:(?:(?:(?:model\.)?layers\.)?(0|[1-9]\d{0,9})\.)?(self_attn|mlp)\.)?(\w+)", re.ASCII)


def check_training(recipe: Recipe, source: Source) -> None:
    """Adds a fault for adapters without a place in the recipe's model, and for numbers that contradict one another."""
    for i, stage in enumerate(recipe.stages):
        _check_warmup(stage, ("stages", i, "optimizer", "warmup_steps"), source)
        if isinstance(stage, PpoConfig):
            _check_replay(stage, ("stages", i, "replay", "capacity"), source)
        lora = getattr(stage, "lora", None)
        if isinstance(lora, LoraConfig) and isinstance(recipe.model, ScratchModelConfig):
            _check_lora(lora, ("stages", i, "lora"), recipe.model, source)


def _check_warmup(stage: Any, path: Path, source: Source) -> None:
    """The peak of the learning rate must be reached. The default is not told: short stages just do not reach it."""
    total = stage.iterations * stage.updates_per_iteration if isinstance(stage, PpoConfig) else None
    if isinstance(stage, SftConfig | DpoConfig | PrmConfig):
        total = stage.steps
    if total is not None and stage.optimizer.warmup_steps > max(total, OptimizerConfig().warmup_steps):
        text = f"the stage has {total} optimizer steps, so the learning rate would never reach its peak."
        source.fault(path, f"{text} Write at most {total}, or more steps.")


def _check_replay(stage: PpoConfig, path: Path, source: Source) -> None:
    replay = stage.replay
    if isinstance(replay, PrioritizedReplayConfig) and replay.capacity < stage.batch_size:
        text = f"must hold at least one batch, batch_size ({stage.batch_size}), got {replay.capacity}."
        source.fault(path, f"{text} Write at least {stage.batch_size}, or a smaller batch_size.")


def _check_lora(lora: LoraConfig, path: Path, model: ScratchModelConfig, source: Source) -> None:
    if lora.rank > model.hidden_size:
        text = f"must not be above model.hidden_size ({model.hidden_size}), got {lora.rank}: no matrix has more."
        source.fault((*path, "rank"), f"{text} Write at most {model.hidden_size}, or train all weights (lora: null).")
    for i, target in enumerate(lora.targets):
        if not names_layer(target, model.num_layers):
            text = f"the model has no linear layer {target!r}.{suggestion(target, list(LAYERS))}"
            source.fault((*path, "targets", i), text)


def names_layer(target: str, layers: int) -> bool:
    """True for the name of a layer that can have an adapter, or an end of its name after a dot, as peft reads it."""
    if any(name == target or name.endswith(f".{target}") for name in OUTSIDE):
        return True
    found = _LAYER.fullmatch(target)
    if found is None or (found[2] or LAYERS.get(found[3])) != LAYERS.get(found[3]) or found[3] not in LAYERS:
        return False
    return found[1] is None or int(found[1]) < layers
