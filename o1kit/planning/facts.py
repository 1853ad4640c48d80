"""`Facts`: what a probe measured, kept for each machine and recipe shape under `$XDG_CACHE_HOME/o1kit`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from o1kit.artifacts import write_atomic
from o1kit.cache import cache_folder
from o1kit.config import public
from o1kit.errors import O1kitError
from o1kit.models.config import TorchEngineConfig, local_engine
from o1kit.planning.lengths import Lengths, as_lengths
from o1kit.planning.machine import Machine
from o1kit.planning.rates import Rates, as_rates
from o1kit.recipe.schema import Recipe

FORMAT = 1
MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Facts:
    """Measured on one machine for one shape of recipe."""

    lengths: Mapping[str, Lengths]
    """Of the problems of each split."""
    rates: Rates
    base: int
    """Bytes of the process with everything imported."""
    problem: float
    """Bytes of a problem with all that belongs to it."""
    vocabulary: int


def in_process(recipe: Recipe) -> TorchEngineConfig:
    """The options of models in this process; the usual ones where a plugin's engine samples."""
    found: object = local_engine(recipe.engine)
    return found if isinstance(found, TorchEngineConfig) else TorchEngineConfig()


def shape_of(recipe: Recipe, machine: Machine) -> str:
    """A name of all that the facts depend on."""
    said = public(recipe, include={"model", "tasks"})  # of a value from the environment its name alone
    tasks = {n: {k: v for k, v in split.items() if k != "num_problems"} for n, split in said["tasks"].items()}
    engine = in_process(recipe)
    parts = {
        "format": FORMAT,
        "machine": machine.fingerprint,
        "model": said["model"],
        "tasks": tasks,
        "engine": [engine.kind, engine.max_batch],
        "trained": [[s.kind, getattr(s, "lora", None) is not None] for s in recipe.stages],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def read_facts(recipe: Recipe, machine: Machine) -> Facts | None:
    """What was measured before for this machine and shape; None without any that makes sense."""
    path = cache_folder() / "probes" / f"{shape_of(recipe, machine)}.json"
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        if path.stat().st_size > MAX_BYTES:
            return None
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lengths, rates = as_lengths(data["lengths"]), as_rates(data["rates"])
        if rates is not None and set(lengths) == set(recipe.tasks):
            return Facts(lengths, rates, int(data["base"]), float(data["problem"]), int(data["vocabulary"]))
    return None


def write_facts(facts: Facts, recipe: Recipe, machine: Machine) -> Path:
    """Keeps what was measured, and returns where; a folder that cannot be written to is passed over."""
    path = cache_folder() / "probes" / f"{shape_of(recipe, machine)}.json"
    with suppress(O1kitError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(asdict(facts), indent=1) + "\n")
    return path
