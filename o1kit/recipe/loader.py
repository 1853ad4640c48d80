"""`load_recipe`: a recipe file as a validated `Recipe`, or every fault in it at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from o1kit.errors import RecipeError
from o1kit.recipe.explain import explain
from o1kit.recipe.faults import failure
from o1kit.recipe.overrides import apply
from o1kit.recipe.references import check
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import Source, parse


@dataclass(frozen=True, slots=True)
class Loaded:
    """A recipe, and where each of its values was written."""

    recipe: Recipe
    source: Source
    files: tuple[Path, ...]
    """All files that were read, in the order in which they count."""


def load(path: Path, overrides: Sequence[str] = (), overlays: Sequence[Path] = ()) -> Loaded:
    """Reads, composes and checks a recipe.

    Args:
        path: a YAML file.
        overrides: `key.path=value` texts, applied in order, last.
        overlays: YAML files that change it, in order.

    Raises:
        RecipeError: with all faults found, each with its place, its recipe path and the nearest valid choice.
    """
    source = parse(_read(path), str(path))
    return Loaded(recipe_from(source, overrides), source, (path,))


def load_recipe(path: Path, overrides: Sequence[str] = (), overlays: Sequence[Path] = ()) -> Recipe:
    """The recipe alone; see `load`."""
    return load(path, overrides, overlays).recipe


def recipe_from(source: Source, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from parsed YAML; see `load_recipe`."""
    _stop(source)
    if not isinstance(source.data, dict):
        source.fault((), "a recipe is a mapping of keys to values. Start from recipes/quickstart.yaml.")
    _stop(source)
    for text in overrides:
        apply(source, text)
    _stop(source)
    try:
        recipe = Recipe.model_validate(source.data)
    except ValidationError as error:
        explain(error, Recipe, source)
        raise failure(source) from None
    check(recipe, source)
    _stop(source)
    return recipe


def _read(path: Path) -> str:
    try:
        if path.is_dir():
            raise RecipeError(f"{path}: this is a folder. Give a recipe file, for example {path / 'quickstart.yaml'}.")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = f" In {path.parent}: {', '.join(near[:8])}." if near else " Check the path."
        raise RecipeError(f"{path}: there is no such file.{hint}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a text file (byte {error.start} is not UTF-8). Give a YAML recipe.") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}. Check its permissions.") from None


def _stop(source: Source) -> None:
    if source.faults:
        raise failure(source)
