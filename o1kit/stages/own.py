"""`policy_fingerprint`: which model wrote or judged chains, told so that another one is told apart."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from o1kit.artifacts import fingerprint_of
from o1kit.config import public
from o1kit.models.config import HfModelConfig
from o1kit.protocols import StageInputs
from o1kit.stages.evaluate.config import OWN


def policy_fingerprint(inputs: StageInputs, name: str | None, seed: int) -> str:
    """The fingerprint of a stage, or of the recipe's own model; empty for anything else.

    That of the own model is a hash of its weights as they lie on the disk, whatever they are called, and of how they
    are read. Weights that are made here, or by a plugin, follow from the section, the problems and the seed.

    Args:
        inputs: of the stage that asks.
        name: a stage, or `model`.
        seed: of the stage that had the own model made.
    """
    artifact = inputs.artifacts.get(name or "")
    if artifact is not None:
        return artifact.fingerprint
    if name != OWN:
        return ""
    model = inputs.recipe.model
    folder = _folder(model.source) if isinstance(model, HfModelConfig) else None
    if folder is not None:
        said = {"model": public(model, exclude={"source"}), "weights": fingerprint_of(folder)}
    else:
        said = {"model": public(model), "tasks": public(inputs.recipe, include={"tasks"})["tasks"], "seed": seed}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _folder(source: str) -> Path | None:
    """Where a model lies: its folder, or that of a hub id among the downloads."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import try_to_load_from_cache

    with suppress(ValueError):  # no valid id
        found = try_to_load_from_cache(source, "config.json")
        return Path(found).parent if isinstance(found, str) else None
    return None
