"""The recipes that come with o1kit are valid, and so is what a run writes down of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1kit.cli import main
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


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_validates_plans_and_dry_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["validate", str(path)]) == 0
    stages = capsys.readouterr().out.partition("stages: ")[2].strip().split(", ")
    assert stages == [stage.name for stage in load_recipe(path).stages]
    for words in (["plan", str(path)], ["run", str(path), "--dry-run"]):
        assert main(words) == 0
        out = capsys.readouterr().out
        assert all(f"  {name} " in out for name in stages), words
    assert list(tmp_path.iterdir()) == [], "nothing is written"
