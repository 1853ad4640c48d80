"""`load` and `load_recipe`: recipe files as a validated `Recipe`, or every fault in them at once.

What is written counts in this order, the last most: what the recipe extends, the recipe, overlays, `--set`. Then
`${...}` is put in, relative paths are made to start from the recipe's folder, and the whole is validated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from o1kit.config import WrittenDown, keep_secret
from o1kit.errors import RecipeError
from o1kit.functional.secrets import remember
from o1kit.nearest import nearest
from o1kit.recipe.beside import folders_found, start_from_recipe
from o1kit.recipe.explain import annotation_at, has_mark, written_path
from o1kit.recipe.faults import failure
from o1kit.recipe.further import tell_rest
from o1kit.recipe.generators import read_options
from o1kit.recipe.interpolate import NEVER, interpolate, other_reading
from o1kit.recipe.layers import EXTENDS, read_layers
from o1kit.recipe.migrate import check_names
from o1kit.recipe.nodes import Places, walk
from o1kit.recipe.overrides import apply
from o1kit.recipe.references import check
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import OPTION, Source


@dataclass(frozen=True, slots=True)
class Loaded:
    """A recipe, and where each of its values was written."""

    recipe: Recipe
    source: Source
    files: tuple[Path, ...]
    """All files that were read, in the order in which they count."""


def load(
    path: Path, overrides: Sequence[str] = (), overlays: Sequence[Path] = (), directory: Path | None = None
) -> Loaded:
    """Reads, composes and checks a recipe.

    Args:
        path: a YAML file.
        overrides: `key.path=value` texts, applied in order, last.
        overlays: YAML files that change it, in order.
        directory: where its relative paths start from, if not from its own folder: for a run's recipe.json.

    Raises:
        RecipeError: with all faults found, each with its place, its recipe path and the nearest valid choice.
    """
    layers = read_layers(path, overlays)
    folders = layers.folders if directory is None else layers.folders | {str(path): directory}
    recipe = _recipe(layers.source, overrides, folders, directory or path.parent)
    return Loaded(recipe, layers.source, tuple(layers.files))


def load_recipe(
    path: Path, overrides: Sequence[str] = (), overlays: Sequence[Path] = (), directory: Path | None = None
) -> Recipe:
    """The recipe alone; see `load`."""
    return load(path, overrides, overlays, directory).recipe


def variants(path: Path, overlays: Sequence[Path] = ()) -> Callable[[Sequence[str]], Recipe]:
    """A function that makes the recipe with other `--set` texts each time, while its files are read once; see `load`.

    Raises:
        RecipeError: the files cannot be read at all; the function raises it for all else that is wrong.
    """
    layers = read_layers(path, overlays)

    def made(overrides: Sequence[str]) -> Recipe:
        return _recipe(deepcopy(layers.source), overrides, layers.folders, path.parent)

    return made


def recipe_from(source: Source, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from parsed YAML that is no file; see `load`."""
    return _recipe(source, overrides, {}, Path())


def _recipe(source: Source, overrides: Sequence[str], folders: Mapping[str, Path], main: Path) -> Recipe:
    if not isinstance(source.data, dict):
        if not source.faults:
            source.fault(
                (), "a recipe is a mapping of keys to values. Start from one of o1kit's: o1kit recipe new NAME."
            )
        raise failure(source)
    for text in overrides:
        apply(source, text, settle=False)
    if overrides and source.root is not None:
        source.settle(source.root)
    check_names(source)
    for value, name in interpolate(source, os.environ).items():
        remember(value, name)
    read_options(source)
    _check_extends(source)
    _check_written(source)
    if source.faults:
        raise _refused(source)
    recipe = _validated(source)
    if start_from_recipe(recipe, source, folders, main):
        recipe = _validated(source)
    assert source.root is not None
    moved = folders_found(recipe)
    shown = {p: n.public for p, n in walk(source.root) if n.public is not None and (n.secret or p in moved)}
    keep_secret(recipe, shown)
    recipe.written_at(Places(source.values))
    check(recipe, source)
    if source.faults:
        raise failure(source)
    return recipe


def _validated(source: Source) -> Recipe:
    """The recipe that the data describes; what was said outside of files is read as the schema needs it."""
    try:
        return Recipe.model_validate(source.actual())
    except ValidationError as error:
        if not _reread(error, source):
            raise _invalid(source) from None
    try:
        return Recipe.model_validate(source.actual())
    except ValidationError:
        raise _invalid(source) from None


def _reread(error: ValidationError, source: Source) -> bool:
    """Reads numbers as words, or words as numbers, where the command line or the environment gave them.

    Only there: what is quoted in a file says what it is.
    """
    wrong = [(written_path(e["loc"], source.data), e["type"] == "string_type") for e in error.errors(include_url=False)]
    assert source.root is not None
    changed = False
    for path, node in walk(source.root):
        outside = node.secret or node.place.startswith(OPTION)
        fits = outside and any(p[: len(path)] == path and text != isinstance(node.value, str) for p, text in wrong)
        other = other_reading(node) if fits else None
        if other is not None:
            node.value, changed = other, True
    source.settle(source.root)
    return changed


def _refused(source: Source) -> RecipeError:
    """All faults of a recipe that could not be put together, with what else can be told of it as far as it is."""
    try:
        Recipe.model_validate(source.actual())
    except ValidationError as error:
        _reread(error, source)
    tell_rest(source)
    return failure(source)


def _invalid(source: Source) -> RecipeError:
    """All faults of data that is no recipe; values of the environment show themselves as they are written."""
    tell_rest(source)
    if not source.faults:  # a value that is right only as long as it is hidden
        source.fault((), "a value of the environment does not fit where it stands. Look at the variables it names.")
    return failure(source)


def _check_extends(source: Source) -> None:
    """`extends` is no part of a recipe, so its typos are found here."""
    known = {*Recipe.model_fields}
    for key in source.data if isinstance(source.data, dict) else ():
        if key == EXTENDS:
            source.fault(
                (key,), "only a file can extend others, and it says so itself. Use an overlay: -o FILE.", key=True
            )
        elif key not in known and nearest(key, [*known, EXTENDS]) == EXTENDS:
            text = f"unknown key {key!r}. Did you mean {EXTENDS!r}?"
            source.fault((key,), text, key=True, suggestion=EXTENDS)


def _check_written(source: Source) -> None:
    """No value of the environment where a section's class says that it stands in what a run leaves."""
    assert source.root is not None
    for path, _ in [found for found in walk(source.root) if found[1].secret]:
        for i in range(1, len(path) + 1):
            if has_mark(annotation_at(Recipe, source.data, path[:i])[0], WrittenDown):
                name = next(part for part in reversed(path[:i]) if isinstance(part, str))
                source.fault(path, f"`{name}` is written into files of the run, {NEVER}")
                break
