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
Stages = Annotated[
    list[str],
    typer.Option(
        "--stage",
        metavar="NAME[..NAME]",
        help="Run this stage, or range of stages, only (repeatable); finished stages are skipped in any case.",
        default_factory=list,
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and show what would run; write nothing.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Run in the background: the log is run.log in the run's folder.")
]
RUNS = Path("runs")
