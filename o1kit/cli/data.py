"""`o1kit data show`: what a stage trains on, token by token."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from o1kit.cli.completing import split_names, stage_names
from o1kit.cli.options import Json, Overlays, Plain, RecipeFile, Sets, faults_as_json, print_json
from o1kit.errors import DataError

app = typer.Typer(help="Look at what stages train on.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def show(
    recipe: RecipeFile,
    sets: Sets,
    overlays: Overlays,
    stage: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Stage; the first one that trains if not given.",
            show_default=False,
            autocompletion=stage_names,
        ),
    ] = None,
    first: Annotated[int, typer.Option("-n", "--first", metavar="N", min=0, help="Samples to show.")] = 3,
    split: Annotated[
        str,
        typer.Option(
            help="Split of the recipe; of prm and dpo stages `train`, or `heldout`: kept out to measure on.",
            autocompletion=split_names,
        ),
    ] = "train",
    run: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Run whose finished stages wrote the labels or pairs.", show_default=False),
    ] = None,
    plain: Plain = False,
    json: Json = False,
) -> None:
    """Show samples of what a stage trains on: trained tokens, step labels, and figures of all rows."""
    from o1kit.cli.run import compiled

    with faults_as_json(json):
        plan = compiled(recipe, sets, overlays)
        if run is not None and not run.is_dir():
            raise DataError(f"--run {run}: there is no such folder. Give the folder of a run, such as runs/quickstart.")
        from o1kit.samples.reading import Wanted, samples

        template, found = samples(plan, recipe.parent, Wanted(stage, first, split, run))
    if json:
        from o1kit.samples.sample import as_data

        print_json(as_data(found, template.written))
        return
    from rich.console import Console

    from o1kit.samples.text import rendered

    console = Console(highlight=False, soft_wrap=True, no_color=True if plain else None)
    colour = console.is_terminal and not console.no_color
    for line in rendered(found, template.written, template.eos_id, colour=colour):
        console.print(line if colour else line.plain, markup=False)
