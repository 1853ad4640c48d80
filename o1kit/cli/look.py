"""`o1kit trees | schema`: what there is to see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from o1kit.errors import DataError

if TYPE_CHECKING:
    from pydantic import BaseModel

Schema = Literal["recipe", "trees", "chains", "labels", "pairs", "outputs"]


def schema(
    file: Annotated[Schema, typer.Argument(help="Which file the schema is of.")] = "recipe",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to a file.", show_default=False)] = None,
    plugins: Annotated[bool, typer.Option(help="With the kinds of installed plugins, which are imported.")] = True,
) -> None:
    """Print the JSON Schema of a file, with every field's documentation."""
    from o1kit.artifacts import write_atomic
    from o1kit.explain.editor import recipe_schema
    from o1kit.kinds import with_plugins
    from o1kit.report.label_schema import LabelRecord, PairRecord
    from o1kit.report.output_schema import OutputFile
    from o1kit.report.tree import json_schema
    from o1kit.report.tree_schema import ChainRecord, TreeRecord

    files: dict[Schema, type[BaseModel]] = {
        "trees": TreeRecord,
        "chains": ChainRecord,
        "labels": LabelRecord,
        "pairs": PairRecord,
        "outputs": OutputFile,
    }
    with with_plugins(plugins):
        text = recipe_schema() if file == "recipe" else json_schema(files[file])
    if out is not None:
        write_atomic(out, text)
        print(f"wrote {out}")
    else:
        print(text, end="")


def trees(
    path: Annotated[Path, typer.Argument(help="Folder of an evaluate or rollout stage, or a file of trees.")],
    problem: Annotated[str | None, typer.Option(metavar="ID", help="The trees of this problem only.")] = None,
) -> None:
    """Show the search trees of a stage's folder or of a file."""
    from o1kit.functional.printable import printable
    from o1kit.report.tree import LINES, read_trees, render_tree, tree_file

    file = tree_file(path) or path / LINES if path.is_dir() else path
    found = 0
    for tree in read_trees(file):
        if problem in (None, tree.problem.id):
            found += 1
            print(printable(f"{tree.problem.id}: {' '.join(tree.problem.prompt.split())}"))
            print(printable(f"{tree.policy}, {tree.search.title}: {', '.join(str(a) for a in tree.answers)}"))
            print(printable(f"{render_tree(tree.nodes)}\n"))
    if not found:
        of = f" of problem {problem!r}" if problem else ""
        raise DataError(f"{file}: there is no tree{of}: an evaluation keeps those of searches that grow one.")
