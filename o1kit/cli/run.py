"""`o1kit run | validate | plan`: what a recipe is for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from o1kit.cli.options import (
    RUNS,
    AllowDrift,
    Detach,
    DryJson,
    DryRun,
    Json,
    Overlays,
    Plain,
    RecipeFile,
    RunsDir,
    Sets,
    Stages,
    dry_json,
)
from o1kit.errors import O1kitError

if TYPE_CHECKING:
    from o1kit.cli.starting import Start
    from o1kit.plan import Plan


def compiled(recipe: Path, sets: Sequence[str], overlays: Sequence[Path] = ()) -> Plan:
    """The plan of a recipe file.

    Raises:
        RecipeError: the recipe is wrong.
    """
    from o1kit.plan import compile_recipe
    from o1kit.recipe.loader import load_recipe

    if recipe.parent == Path() and not recipe.exists():
        from o1kit.errors import RecipeError
        from o1kit.sharing.shipped import folder

        if (folder() / recipe.with_suffix(".yaml")).is_file():
            name = recipe.stem
            raise RecipeError(f"{recipe}: not in this folder. It comes with o1kit; to copy it: o1kit recipe cp {name}")
    return compile_recipe(load_recipe(recipe, sets, overlays))


def run(
    recipe: RecipeFile,
    sets: Sets,
    overlays: Overlays,
    stage: Stages,
    runs_dir: RunsDir = RUNS,
    dry_run: DryRun = False,
    resume: Annotated[bool, typer.Option("--resume", help="Only go on with what was begun; never start anew.")] = False,
    detach: Detach = False,
    plain: Plain = False,
    allow_drift: AllowDrift = False,
    json: DryJson = False,
) -> None:
    """Train and evaluate what a recipe describes.

    Finished stages are skipped, a stopped one goes on from its last checkpoint, a changed one runs again.
    """
    from o1kit.cli.starting import given, words

    with dry_json(dry_run, json):
        start = _start(recipe, (sets, overlays, stage), runs_dir, plain=plain, resume=resume, allow_drift=allow_drift)
        if dry_run:
            start.rehearsed(json)
            return
    if detach:
        options = [*words("--set", sets), *words("--overlay", overlays), *words("--stage", stage)]
        options += [*given("--resume", resume), *given("--allow-drift", allow_drift)]
        start.detached(["run", *options, f"--runs-dir={runs_dir}", "--", str(recipe)])
    else:
        start.here()


def _start(
    recipe: Path,
    chosen: tuple[Sequence[str], Sequence[Path], Sequence[str]],
    runs_dir: Path,
    *,
    plain: bool,
    resume: bool,
    allow_drift: bool,
) -> Start:
    """What is to be started: a recipe with what `--set`, `-o` and `--stage` say."""
    from o1kit.cli.starting import Start
    from o1kit.control.records import Launch

    sets, overlays, stage = chosen
    plan = compiled(recipe, sets, overlays)
    if plan.recipe.lock is not None and not allow_drift:
        from o1kit.sharing.lock import require

        require(plan.recipe, recipe.parent)
    launch = Launch(
        recipe=str(recipe.absolute()),
        recipe_directory=str(recipe.parent.resolve()),
        overlays=tuple(str(path.absolute()) for path in overlays),
        sets=tuple(sets),
        stages=tuple(stage),
    )
    return Start(plan, launch, runs_dir, plain, resume)


def validate(recipe: RecipeFile, sets: Sets, overlays: Overlays, json: Json = False) -> None:
    """Check a recipe."""
    if json:
        _validate_json(recipe, sets, overlays)
        return
    stages = compiled(recipe, sets, overlays).stages
    print(f"{recipe}: valid, {len(stages)} stage{'s' * (len(stages) != 1)}: {', '.join(s.name for s in stages)}")


def _validate_json(recipe: Path, sets: Sequence[str], overlays: Sequence[Path]) -> None:
    """Prints whether a recipe is valid, and all that is wrong with it; ends with the error's exit code."""
    from json import dumps

    try:
        stages = compiled(recipe, sets, overlays).stages
    except O1kitError as error:
        from o1kit.recipe.faults import as_data

        print(dumps({"valid": False, "faults": as_data(error, str(recipe))}, indent=2))
        raise typer.Exit(error.exit_code) from None
    print(dumps({"valid": True, "stages": [stage.name for stage in stages]}, indent=2))
