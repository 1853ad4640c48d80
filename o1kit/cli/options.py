"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file (YAML).", show_default=False)]
Sets = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY.PATH=VALUE",
        help="Change the recipe, for example --set stages.sft.steps=100 (repeatable).",
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
RUNS = Path("runs")
