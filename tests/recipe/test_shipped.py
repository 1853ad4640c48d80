"""The recipes that come with o1kit are valid, and so is what a run writes down of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1kit.plan import compile_recipe
from o1kit.recipe.loader import load_recipe
from o1kit.recipe.schema import Recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_compiles_and_can_be_read_back(path: Path) -> None:
    loaded = load_recipe(path, [])
    plan = compile_recipe(loaded)
    assert plan.recipe.name == path.stem
    assert Recipe.model_validate(json.loads(plan.recipe.model_dump_json())) == plan.recipe


def test_there_are_some() -> None:
    assert {"quickstart", "rewards"} <= {path.stem for path in RECIPES}
