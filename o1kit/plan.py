"""`compile_recipe`: a recipe as a plan of stages with named inputs and fingerprints. Pure: no disk, no network."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from o1kit.config import Config, Late, public
from o1kit.kinds import used as installed_in
from o1kit.models.config import ServersConfig, local_engine
from o1kit.recipe.references import references
from o1kit.recipe.schema import Recipe

FORMAT = 1
"""Raised when stages computed by an earlier o1kit must not be re-used."""
NEUTRAL = {"checkpoint_every", "max_failed_judgements"}
"""Fields of a stage that do not change what it computes, only when it saves or gives up."""
NEUTRAL_ENGINE = {"endpoints", "api_key_env", "timeout_s", "max_retries", "max_concurrency"}
"""Fields of an engine that do not: where servers are and how they are asked, not what they serve."""

LOCAL = {"sft", "prm", "dpo"}
"""Kinds of stages that run in this process whatever samples elsewhere: their results stay when servers take over."""


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage, the earlier ones it is built from, and a name for exactly what it computes."""

    name: str
    kind: str
    config: Any
    inputs: tuple[str, ...]
    fingerprint: str
    seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recipe does, in order."""

    recipe: Recipe
    stages: tuple[PlannedStage, ...]


def compile_recipe(recipe: Recipe) -> Plan:
    """The plan of a checked recipe.

    A fingerprint covers the stage's section, all it is computed from (model, problems, engine, seed) and the
    fingerprints of its inputs, so a change reaches every stage that depends on it and no other. Of a value from the
    environment it covers the variable's name: fingerprints are written down, and a short value could be guessed.
    """
    shared = public(recipe, include={"model", "tasks", "seed"})
    shared["answer_rule"] = recipe.grading.answer_rule  # the rest of `grading` only says when to give up
    prints: dict[str, str] = {}
    stages = []
    for config in recipe.stages:
        inputs = tuple(dict.fromkeys(reference.stage for reference in references(config)))
        section = computed(config, public(config, exclude=NEUTRAL))
        engine = local_engine(recipe.engine) if config.kind in LOCAL else recipe.engine
        used = shared | {"engine": public(engine, exclude=NEUTRAL_ENGINE)}
        content = {"format": FORMAT, "shared": used, "stage": section, "inputs": {n: prints[n] for n in inputs}}
        packages = {str(one) for part in (config, recipe.model, recipe.tasks, engine) for one in installed_in(part)}
        if packages:  # another version of a plugin may compute something else
            content["plugins"] = sorted(packages)
        prints[config.name] = digest(content)
        seed = stage_seed(recipe.seed, config.name)
        stages.append(PlannedStage(config.name, config.kind, config, inputs, prints[config.name], seed))
    return Plan(recipe, tuple(stages))


def computed(section: Any, data: Any) -> Any:
    """What of a section's data says what is computed: not where servers are, and no late field at its default."""
    if isinstance(section, Config) and isinstance(data, dict):
        gone = set(NEUTRAL_ENGINE) if isinstance(section, ServersConfig) else set()
        for name, field in type(section).model_fields.items():
            if any(isinstance(mark, Late) for mark in field.metadata) and getattr(section, name) == field.default:
                gone.add(name)
        return {name: computed(getattr(section, name, None), x) for name, x in data.items() if name not in gone}
    if isinstance(section, dict) and isinstance(data, dict):
        return {name: computed(section.get(name), x) for name, x in data.items()}
    if isinstance(section, list) and isinstance(data, list):
        return [computed(part, x) for part, x in zip(section, data, strict=True)]
    return data


def digest(content: Any) -> str:
    """SHA-256 of the content as canonical JSON, in hexadecimal."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def stage_seed(seed: int, name: str) -> int:
    """A seed below 2**63 for one stage; a stage keeps it when others come or go."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1
