"""`o1kit run | validate`: what a recipe is for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from o1kit.cli.options import RUNS, Plain, RecipeFile, RunsDir, Sets

if TYPE_CHECKING:
    from o1kit.plan import Plan


def compiled(recipe: Path, sets: Sequence[str]) -> Plan:
    """The plan of a recipe file.

    Raises:
        RecipeError: the recipe is wrong.
    """
    from o1kit.plan import compile_recipe
    from o1kit.recipe.loader import load_recipe

    return compile_recipe(load_recipe(recipe, sets))


def run(
    recipe: RecipeFile,
    sets: Sets,
    stage: Annotated[
        list[str],
        typer.Option(
            metavar="NAME[..NAME]",
            help="Run this stage, or range of stages, only (repeatable); finished stages are skipped in any case.",
            default_factory=list,
            show_default=False,
        ),
    ],
    runs_dir: RunsDir = RUNS,
    plain: Plain = False,
) -> None:
    """Train and evaluate what a recipe describes."""
    plan = compiled(recipe, sets)
    from o1kit.runner import run_plan

    run_plan(plan, recipe_directory=recipe.parent, runs_dir=runs_dir, stages=stage, plain=plain)


def validate(recipe: RecipeFile, sets: Sets) -> None:
    """Check a recipe."""
    stages = compiled(recipe, sets).stages
    print(f"{recipe}: valid, {len(stages)} stage{'s' * (len(stages) != 1)}: {', '.join(s.name for s in stages)}")
