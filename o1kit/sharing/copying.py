"""New recipe files: a small commented one to start from, or a copy of one that comes with o1kit, data and all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from o1kit.artifacts import disk_errors, write_atomic
from o1kit.errors import EnvironmentFailure, RecipeError
from o1kit.explain.editor import recipe_schema
from o1kit.kinds import with_plugins
from o1kit.recipe.loader import load
from o1kit.recipe.source import scalar
from o1kit.sharing.inputs import paths_of
from o1kit.sharing.shipped import Shipped, folder

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_SCHEMA_LINE = "# yaml-language-server:"
SCHEMA = "recipe.schema.json"
"""File beside a copy that editors check it with."""
START = Shipped("start", Path(__file__).parent / "start.yaml", {})
"""A small recipe with comments, to be changed."""


def copy(recipe: Shipped, target: Path, name: str | None = None, *, force: bool = False) -> list[Path]:
    """Copies a recipe with the files it extends and reads, each in the same place relative to it.

    Beside the copy comes the schema for editors, if none is there.

    Returns:
        All files that were written.

    Args:
        recipe: one that comes with o1kit.
        target: the file to write.
        name: what its runs are to be called; None keeps the name where the file keeps its own.
        force: whether what is there may be overwritten.

    Raises:
        RecipeError: the name cannot be that of a run.
        EnvironmentFailure: a file is there, or cannot be written.
    """
    if name is None:
        stem = target.stem
        name = stem if _NAME.fullmatch(stem) else None
    else:
        _check_name(name)
    others = list(_others(recipe, target))
    for _, place in [(recipe.path, target), *others]:
        _free(place, force)
    for source, place in others:
        with disk_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)
    write_atomic(target, _text(recipe, target, name))
    load(target)
    return [target, *(place for _, place in others), *_schema(target.parent / SCHEMA)]


def _schema(place: Path) -> list[Path]:
    if place.exists():
        return []
    with with_plugins():
        write_atomic(place, recipe_schema())
    return [place]


def _others(recipe: Shipped, target: Path) -> Iterator[tuple[Path, Path]]:
    """What the recipe extends and reads, and where copies of it go; what is there already, and the same, is left."""
    loaded = load(recipe.path)
    here = recipe.path.parent
    read = [here / path for path in paths_of(loaded.recipe).values()]
    for source in dict.fromkeys(path.resolve() for path in [*loaded.files, *read]):
        if source == recipe.path.resolve() or not source.is_file():
            continue
        place = Path(os.path.normpath(target.parent / os.path.relpath(source, here.resolve())))
        if not (place.is_file() and place.read_bytes() == source.read_bytes()):
            yield source, place


def _text(recipe: Shipped, target: Path, name: str | None) -> str:
    text = recipe.path.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(_SCHEMA_LINE)]
    text = "\n".join(lines) + "\n"
    text = re.sub(r"(?m)^# Run: .*$", lambda _: f"# Run: o1kit run {target}", text, count=1)
    if name is not None:
        text = re.sub(r"(?m)^name:[^#\n]*?(?=[ \t]*(?:#.*)?$)", lambda _: f"name: {_quoted(name)}", text, count=1)
    schema = f"{_SCHEMA_LINE} $schema={SCHEMA}\n"
    if recipe is START:
        return f"{schema}{text}"
    origin = recipe.path.relative_to(folder()).as_posix()
    by = f"by `o1kit recipe cp {recipe.name}`"
    return f"{schema}# Copied from recipes/{origin} of o1kit {version('o1kit')} {by}.\n{text}"


def _quoted(name: str) -> str:
    """The name as YAML: in quotes where it would be a number, or nothing, without."""
    return name if isinstance(scalar(name), str) else f'"{name}"'


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise RecipeError(f"{name!r} cannot be the name of a run. Use letters, digits and . _ -, a letter first.")


def _free(target: Path, force: bool) -> None:
    if target.is_dir():
        raise EnvironmentFailure(f"{target}: is a folder. Name a file.")
    if target.exists() and not force:
        raise EnvironmentFailure(f"{target}: is there already. Choose another file, or overwrite it with --force.")
