"""The recipes that come with o1kit are valid, and so is what a run writes down of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.smollm2 import write
from o1kit.cli import main
from o1kit.models.config import HfModelConfig
from o1kit.plan import compile_recipe
from o1kit.recipe.loader import load_recipe
from o1kit.recipe.schema import Recipe
from tests.smollm2 import smollm2

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
    model = load_recipe(path).model
    needs_model = isinstance(model, HfModelConfig) and not Path(model.source).is_dir()
    for words in (["plan", str(path)], ["run", str(path), "--dry-run"]):
        code = main(words)
        out, error = capsys.readouterr()
        if "run" in words and needs_model:  # a rehearsal tells what is missing
            assert code == 3 and error.count("\n") == 1 and "was never downloaded" in error
        else:
            assert code == 0, error
        assert all(f"  {name} " in out for name in stages), words
    assert list(tmp_path.iterdir()) == [], "nothing is written"


@pytest.mark.slow
def test_the_recipe_for_smollm2_plans_and_dry_runs_where_the_model_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smollm2()  # or else it is skipped
    write(tmp_path / "model")
    recipe = str(next(path for path in RECIPES if path.stem == "smollm2-lora"))
    for words in (["plan", recipe], ["run", recipe, "--dry-run"]):
        assert main([*words, "--set", f"model.source={tmp_path}/model", "--runs-dir", str(tmp_path / "runs")]) == 0
    out = capsys.readouterr().out
    assert "134.5M" in out and "in all: peak memory " in out and out.endswith("ready to run\n")
