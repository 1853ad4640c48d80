"""A whole recipe small enough for a test: real problems, a real model, every stage."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from o1kit import registry
from o1kit.protocols import Artifact, BuiltStage, StageInputs
from o1kit.recipe.schema import Recipe

SUMS = {"kind": "reasoning_gym", "generator": "chain_sum", "params": {"max_terms": 2, "min_digits": 1, "max_digits": 1}}
SUMS["params"]["min_terms"] = 2  # type: ignore[index]
LETTERS = {"kind": "reasoning_gym", "generator": "letter_counting", "params": {"min_words": 1, "max_words": 2}}

RECIPE: dict[str, Any] = {
    "o1kit": 1,
    "name": "small",
    "model": {
        "kind": "scratch",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_layers": 2,
        "num_heads": 4,
        "num_kv_heads": 2,
        "context_length": 160,
    },
    "tasks": {
        "train": {"num_problems": 120, "sources": [LETTERS]},
        "heldout": {"num_problems": 12, "sources": [LETTERS]},
    },
    "stages": [
        {"kind": "sft", "name": "sft", "steps": 12, "batch_size": 8, "optimizer": {"lr": 3e-3, "muon_lr": 0.02}},
        {
            "kind": "prm",
            "name": "prm",
            "policy": "sft",
            "labels": {"kind": "monte_carlo", "num_problems": 10, "chains": 2, "completions": 1},
            "one_sided": "train",  # its policy has hardly learned anything
            "steps": 3,
            "batch_size": 4,
        },
        {
            "kind": "ppo",
            "name": "ppo",
            "policy": "sft",
            "judge": "prm",
            "search": {"kind": "mcts", "num_simulations": 2, "num_children": 2, "expand": "chain"},
            "iterations": 2,
            "problems_per_iteration": 4,
            "updates_per_iteration": 2,
            "batch_size": 8,
        },
        {
            "kind": "evaluate",
            "name": "evaluate",
            "policies": ["sft", "ppo"],
            "judge": "prm",
            "searches": [{"kind": "greedy"}, {"kind": "mcts", "num_simulations": 2, "num_children": 2}],
        },
    ],
    "tracking": {"wandb": {"mode": "disabled"}},
}


def small(changes: dict[str, dict[str, Any]] | None = None, **top: Any) -> Recipe:
    """The recipe with fields of stages, by name, and top-level sections replaced."""
    data = copy.deepcopy(RECIPE) | top
    for stage in data["stages"]:
        stage.update((changes or {}).get(stage["name"], {}))
    return Recipe.model_validate(data)


def built(recipe: Recipe, name: str, folder: Path, artifacts: dict[str, Path] | None = None) -> BuiltStage:
    """One stage of a recipe, built on the folders of earlier ones."""
    config = next(stage for stage in recipe.stages if stage.name == name)
    folder.mkdir(parents=True, exist_ok=True)
    given = {key: Artifact(key, key, path, "x") for key, path in (artifacts or {}).items()}
    stage: BuiltStage = registry.lookup("stages", config.kind)().build(
        StageInputs(config, recipe, Path(), folder, given, recipe.seed)
    )
    return stage
