"""`o1kit plan`: the stages of a recipe, what is done, and what the rest will take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from o1kit.cli.options import RUNS, Json, Overlays, RecipeFile, RunsDir, Sets, faults_as_json, print_json
from o1kit.cli.run import compiled

if TYPE_CHECKING:
    from o1kit.plan import Plan
    from o1kit.planning.estimate import Estimate, Ground
    from o1kit.planning.machine import Machine

DOES_NOT_FIT = 6
"""Exit code where the machine is too small."""
Gb = Annotated[
    float | None,
    typer.Option(min=0.001, max=1e6, metavar="GB", help="Plan for a machine with this much.", show_default=False),
]


def plan(
    recipe: RecipeFile,
    sets: Sets,
    overlays: Overlays,
    runs_dir: RunsDir = RUNS,
    prices: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML: {currency: EUR, per_hour: {cpu: 0.05}, kwh: 0.3, watts: 65}."),
    ] = None,
    memory_gb: Gb = None,
    disk_gb: Gb = None,
    gpu_gb: Gb = None,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Measure lengths and speeds here first (half a minute); kept."),
    ] = False,
    json: Json = False,
) -> None:
    """Show a recipe's stages, what is done, and what the rest will take.

    Parameters, tokens, peak memory by component, disk, time and, with --prices, cost. Exit code 6: it does not fit, and
    the changes that would help most are shown.
    """
    from dataclasses import asdict

    from o1kit.functional.printable import printable
    from o1kit.planning.estimate import as_data, ground
    from o1kit.planning.levers import remedy_for
    from o1kit.planning.machine import other_machine, this_machine
    from o1kit.planning.prices import read_prices
    from o1kit.planning.show import estimate_lines, remedy_lines
    from o1kit.report.plan import print_plan, rows

    with faults_as_json(json):
        made = compiled(recipe, sets, overlays)
        folder = runs_dir / made.recipe.name
        machine = this_machine(folder)
        if probe:
            _probe(made, recipe.parent, machine, quiet=json)
        known = ground(made, machine, read_prices(prices) if prices is not None else None)
        known = _on(known, other_machine(machine, memory_gb, disk_gb, gpu_gb))
        found = rows(made, folder)
        left = [row["stage"] for row in found if row["state"] != "done"]
        estimated = _estimate(made, recipe.parent, known, left)
        remedy = remedy_for(made.recipe, estimated, replanned(made, recipe, (sets, overlays), known, left))
    if json:
        stages = [row | {"takes": asdict(stage)} for row, stage in zip(found, estimated.stages, strict=True)]
        print_json(as_data(estimated) | {"stages": stages, "fits": not estimated.short} | asdict(remedy))
    else:
        print_plan(made.recipe.name, found)
        print(printable("\n".join(["", *estimate_lines(estimated), *remedy_lines(estimated, remedy)])))
    if estimated.short:
        raise typer.Exit(DOES_NOT_FIT)


def _estimate(made: Plan, directory: Path, known: Ground, left: Sequence[str] | None) -> Estimate:
    from o1kit.planning.estimate import estimate

    return estimate(made, directory, known, left)


def replanned(
    made: Plan, file: Path, given: tuple[Sequence[str], Sequence[Path]], known: Ground, left: Sequence[str] | None
) -> Callable[[Sequence[str]], Estimate | None]:
    """The estimate with further changes; None where the recipe does not allow them. Its files are read once."""
    from o1kit.errors import O1kitError
    from o1kit.plan import compile_recipe
    from o1kit.planning.estimate import for_recipe
    from o1kit.recipe.loader import variants

    sets, overlays = given
    variant = cache(lambda: variants(file, overlays))

    def replan(more: Sequence[str]) -> Estimate | None:
        try:
            changed = compile_recipe(variant()([*sets, *more]))
        except O1kitError:
            return None
        return _estimate(changed, file.parent, for_recipe(known, made.recipe, changed.recipe), left)

    return replan


def _on(known: Ground, machine: Machine) -> Ground:
    """The same knowledge for another amount of memory or disk."""
    from dataclasses import replace

    return replace(known, machine=machine)


def _probe(made: Plan, directory: Path, machine: Machine, quiet: bool) -> None:
    """Measures, and keeps what was found.

    Raises:
        EnvironmentFailure: the model is not here.
    """
    from o1kit.errors import EnvironmentFailure
    from o1kit.planning.facts import write_facts
    from o1kit.planning.weights import Unknown, weights_of

    weights = weights_of(made.recipe)
    if isinstance(weights, Unknown):
        reason = weights.reason
        raise EnvironmentFailure(f"nothing can be measured: {reason}. Leave out --probe, or get the model first.")
    from o1kit.planning.probe import probe

    found = probe(made, directory, machine, weights, (lambda text: None) if quiet else print)
    write_facts(found, made.recipe, machine)
