"""`o1kit plugins new`: a package to begin a plugin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from o1kit.cli.completing import plugin_groups


def new(
    name: Annotated[str, typer.Argument(help="What to call the package, for example first-twice.", show_default=False)],
    group: Annotated[
        str,
        typer.Option(
            metavar="GROUP",
            help="What it adds to: searches, rewards, tasks, graders, stages, models, engines, trackers, exporters, "
            "teachers or commands.",
            autocompletion=plugin_groups,
        ),
    ] = "searches",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to make its folder in.")] = Path(),
) -> None:
    """Make an installable plugin package that works, with tests that pass."""
    from o1kit.cli import app, installed
    from o1kit.functional.printable import printable
    from o1kit.registry import COMMANDS
    from o1kit.scaffold.plugin import make_plugin

    taken = installed.core_names(app.app) if group == COMMANDS else ()
    folder, files = make_plugin(name, group, out, taken)
    for file in files:
        print(printable(str(file)))
    print(f"\nNext:  cd {printable(str(folder))} && pip install -e '.[dev]' && pytest")
