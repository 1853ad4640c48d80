"""What the numbers and names of a stage that trains say about one another, and about the recipe's model."""

from __future__ import annotations

import re

from o1kit.models.config import LoraConfig, ScratchModelConfig
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import Path, Source
from o1kit.registry import suggestion
from o1kit.replay.config import PrioritizedReplayConfig
from o1kit.stages.ppo.config import PpoConfig

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
    wrong = {fault.path[1] for fault in source.faults if fault.path[:1] == ("stages",) and len(fault.path) > 1}
    for i, stage in enumerate(recipe.stages):
        if i in wrong or stage.name in wrong:  # what these rules read may be what is wrong
            continue
        if isinstance(stage, PpoConfig):
            _check_replay(stage, ("stages", i, "replay", "capacity"), source)
        lora = getattr(stage, "lora", None)
        if isinstance(lora, LoraConfig) and isinstance(recipe.model, ScratchModelConfig):
            _check_lora(lora, ("stages", i, "lora"), recipe.model, source)


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
