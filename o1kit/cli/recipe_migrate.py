"""`o1kit recipe migrate`: an older recipe with today's names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def migrate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Recipe, or a file that recipes extend.")],
    in_place: Annotated[
        bool, typer.Option("--in-place", "-i", help="Rewrite the file; else the text is shown.")
    ] = False,
) -> None:
    """Rewrite an older recipe with today's names; comments and layout stay."""
    import sys

    from o1kit.artifacts import write_atomic
    from o1kit.functional.printable import printable
    from o1kit.recipe.layers import read_text
    from o1kit.recipe.migrate import migrated

    text, changes, left = migrated(read_text(file, str(file)), str(file))
    told = sys.stdout if in_place else sys.stderr  # what is shown may go into a pipe
    for change in changes:
        print(printable(f"{change.place}: {change.old} -> {change.new}"), file=told)
    for line in left:
        print(printable(line), file=told)
    if not changes and not left:
        print(f"{file}: nothing to change", file=told)
    if not in_place:
        print(text, end="")
    elif changes:
        write_atomic(file.resolve(), text)
