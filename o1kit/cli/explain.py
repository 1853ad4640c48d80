"""`o1kit explain`: what a recipe's values are, where they come from, and what they are for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from o1kit.cli.completing import recipe_names, value_paths
from o1kit.cli.options import Json, Overlays, RecipeFile, Sets, faults_as_json
from o1kit.errors import RecipeError
from o1kit.nearest import nearest


def explain(
    recipe: RecipeFile,
    sets: Sets,
    overlays: Overlays,
    path: Annotated[
        str,
        typer.Argument(
            metavar="[PATH]",
            help="Value or section, such as stages.ppo.loss; nothing for an overview.",
            autocompletion=value_paths,
        ),
    ] = "",
    full: Annotated[bool, typer.Option("--full", help="Every value as YAML, with its origin as a comment.")] = False,
    diff: Annotated[
        Path | None,
        typer.Option(
            metavar="OTHER",
            help="What another recipe does differently: a file, or one that comes with o1kit.",
            show_default=False,
            autocompletion=recipe_names,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show what a recipe's values are, where they come from, what they may be."""
    with faults_as_json(json):
        _explained(recipe, sets, overlays, path, full=full, diff=diff, json=json)


def _explained(
    recipe: Path,
    sets: Sequence[str],
    overlays: Sequence[Path],
    path: str,
    *,
    full: bool,
    diff: Path | None,
    json: bool,
) -> None:
    from o1kit.explain.diff import differences
    from o1kit.explain.resolved import resolve
    from o1kit.explain.text import lines, told
    from o1kit.explain.written import full as written

    if full and (diff is not None or path):
        raise RecipeError("--full shows a whole recipe: leave out the path and --diff.")
    found = resolve(recipe, sets, overlays)
    if diff is not None:
        other = differences(found, resolve(_file(diff)), path)
        if json:
            _data([one.row() for one in other])
        else:
            print(f"{recipe} -> {diff}: {len(other)} difference{'s' * (len(other) != 1)}")
            _text([f"  {one.line()}" for one in other])
    elif full:
        if json:
            _data({found.spell(e.path): {"value": e.value, "origin": e.origin} for e in found.all()})
        else:
            _text(written(found))
    elif json:
        _data(told(found, found.find(path)))
    else:
        _text(lines(found, found.find(path)))


def _file(other: Path) -> Path:
    """The file itself, or that of the recipe of this name that comes with o1kit."""
    from o1kit.sharing.shipped import shipped

    own = {} if other.exists() else {recipe.name: recipe.path for recipe in shipped()}
    meant = nearest(str(other), own) if own and not other.suffix else None
    if meant is not None and meant != str(other):
        text = f"{other}: there is no such file, and no recipe of this name comes with o1kit."
        raise RecipeError(f"{text} Did you mean {meant!r}?")
    return own.get(str(other), other)


def _text(rows: Sequence[str]) -> None:
    print("\n".join(rows))


def _data(value: Any) -> None:
    from json import dumps

    print(dumps(value, indent=2, ensure_ascii=False))
