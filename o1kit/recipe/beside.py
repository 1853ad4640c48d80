"""Relative paths of files: written in any file of a recipe they start there, and end up starting from the recipe."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path as FilePath
from typing import Any, get_args

from o1kit.config import Beside, Config, Found
from o1kit.functional.secrets import remember
from o1kit.recipe.interpolate import escaped
from o1kit.recipe.nodes import Node, Path
from o1kit.recipe.source import OPTION, Source


def path_fields(value: Any, path: Path = ()) -> Iterator[tuple[Path, Beside]]:
    """Where the paths in a recipe are, also those in lists and those that may be null, with how they are marked."""
    if isinstance(value, Config):
        for name, mark in _marks(type(value)).items():
            inner = getattr(value, name)
            if mark is not None:
                yield from (((*path, name, *more), mark) for more in _texts(inner))
            else:
                yield from path_fields(inner, (*path, name))
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from path_fields(item, (*path, key))


@cache
def _marks(section: type[Config]) -> dict[str, Beside | None]:
    """The fields of a section, with the marks of those that hold paths."""
    found = {}
    for name, field in section.model_fields.items():
        own = next((m for m in field.metadata if isinstance(m, Beside)), None)
        found[name] = own or _mark(field.annotation)
    return found


def _mark(annotation: Any) -> Beside | None:
    """The mark of a member of a union, or of the items of a list or a map."""
    found = (m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, Beside))
    return next(found, None) or next(filter(None, map(_mark, get_args(annotation))), None)


def _texts(value: Any) -> Iterator[Path]:
    """Where texts are in a value: it may be one itself."""
    if isinstance(value, str):
        yield ()
    elif isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from ((key, *more) for more in _texts(item))


def start_from_recipe(recipe: Config, source: Source, folders: Mapping[str, FilePath], main: FilePath) -> bool:
    """Rewrites relative paths in the source; True if any has changed and the recipe must be made again.

    Args:
        recipe: what the source's data means.
        source: the composed data.
        folders: the folder of each file, by the name that its places begin with.
        main: folder of the recipe, which the paths of a finished recipe start from.
    """
    changed = False
    for path, mark in path_fields(recipe):
        node = _at(source.root, path)
        if node is None:
            continue
        given = node.place.startswith(OPTION)
        folder = main if given else folders.get(node.place.rsplit(":", 2)[0])
        if folder is None or not isinstance(node.value, str) or os.path.isabs(node.value):
            continue
        moved, shown = _moved(node, folder, main, isinstance(mark, Found))
        changed = changed or (moved, shown) != (node.value, node.public)
        if node.secret and shown is not None:
            remember(moved, shown)
        node.value, node.public = moved, shown
    if changed and source.root is not None:
        source.settle(source.root)
    return changed


def folders_found(recipe: Config) -> set[Path]:
    """Where the fields are that hold a folder as seen from where o1kit runs, and are written from the recipe."""
    return {path for path, mark in path_fields(recipe) if isinstance(mark, Found)}


def _moved(node: Node, folder: FilePath, main: FilePath, found: bool) -> tuple[str, str | None]:
    """A path as it is read, and how it is written down if that differs: starting from the recipe's folder."""
    here, there = folder.resolve(), main.resolve()
    same = here == there
    from_main = node.value if same else os.path.relpath(here / node.value, there)
    read = _found(folder, node.value) if found else from_main
    if read is None:
        return node.value, node.public
    if node.public is not None:
        # The folder is no secret, the rest may be: it stays as it is written, not normalised.
        return read, node.public if same else f"{escaped(os.path.relpath(here, there))}/{node.public}"
    return read, escaped(os.path.normpath(from_main)) if found else None


def _found(folder: FilePath, value: str) -> str | None:
    """The folder of that name beside the file, as seen from where o1kit runs; None if there is none."""
    try:
        beside = folder / value
        return os.path.relpath(beside) if beside.is_dir() else None
    except (OSError, ValueError):
        return None


def _at(node: Node | None, path: Path) -> Node | None:
    for part in path:
        value = node.value if node is not None else None
        if isinstance(value, dict) and isinstance(part, str):
            node = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            node = value[part]
        else:
            return None
    return node
