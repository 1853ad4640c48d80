"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from o1kit.cli.completing import changes, stage_ranges
from o1kit.errors import O1kitError, RecipeError

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file (YAML).", show_default=False)]
Sets = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY.PATH=VALUE",
        help="Change the recipe, for example --set stages.sft.steps=100 (repeatable).",
        autocompletion=changes,
        default_factory=list,
        show_default=False,
    ),
]
Overlays = Annotated[
    list[Path],
    typer.Option(
        "--overlay",
        "-o",
        metavar="FILE",
        help="Change the recipe by another file, before --set (repeatable).",
        default_factory=list,
        show_default=False,
    ),
]
RunsDir = Annotated[Path, typer.Option(help="Folder that holds one folder a run.")]
AllowDrift = Annotated[
    bool, typer.Option("--allow-drift", help="Go on where data or versions are not as in the recipe's lock.")
]
Plain = Annotated[bool, typer.Option("--plain", help="Plain lines instead of bars, also on a terminal.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Stages = Annotated[
    list[str],
    typer.Option(
        "--stage",
        metavar="NAME[..NAME]",
        help="Run this stage, or range of stages, only (repeatable); finished stages are skipped in any case.",
        autocompletion=stage_ranges,
        default_factory=list,
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and show what would run; write nothing.")]
DryJson = Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Run in the background: the log is run.log in the run's folder.")
]
RUNS = Path("runs")


@contextmanager
def faults_as_json(wanted: bool) -> Iterator[None]:
    """Where JSON is wanted, prints what is wrong as JSON too, and ends with the error's exit code."""
    try:
        yield
    except O1kitError as error:
        if not wanted:
            raise
        from o1kit.recipe.faults import as_data

        print_json({"faults": as_data(error)})
        raise typer.Exit(error.exit_code) from None


@contextmanager
def dry_json(dry_run: bool, wanted: bool) -> Iterator[None]:
    """The same for commands that have something to print only with `--dry-run`."""
    with faults_as_json(wanted):
        if wanted and not dry_run:
            raise RecipeError("--json goes with --dry-run. What a run has done: o1kit status RUN --json.")
        yield


def print_json(value: object) -> None:
    """What `--json` prints: values of the environment as they are written in the recipe."""
    from json import dumps

    print(dumps(_hidden(value), indent=2))


def _hidden(value: object) -> object:
    from o1kit.functional.secrets import hide

    if isinstance(value, dict):
        return {key: _hidden(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(item) for item in value]
    return hide(value) if isinstance(value, str) else value
