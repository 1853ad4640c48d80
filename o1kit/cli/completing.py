"""What shells complete in place of an argument: names of recipes, runs and stages, and paths of values.

Nothing here prints or fails: what cannot be told is left to the shell, which then offers files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

RANGE = ".."
_Told = Callable[[Any, str], Iterable[str]]


def _quiet(told: _Told) -> Callable[[Any, str], list[str]]:
    """Those of the names that begin as what is typed; none where anything goes wrong."""

    # Typer finds out which argument is which by their annotations and names.
    @wraps(told)
    def complete(ctx: Any, incomplete: str) -> list[str]:
        from contextlib import redirect_stderr, redirect_stdout
        from io import StringIO

        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                names = dict.fromkeys(told(ctx, incomplete))
        except Exception:
            return []
        return [name for name in names if name.startswith(incomplete) and name.isprintable()]

    return complete


@_quiet
def shipped_names(ctx: Any, incomplete: str) -> Iterator[str]:
    """Recipes that come with o1kit."""
    from o1kit.sharing.shipped import shipped

    yield from (recipe.name for recipe in shipped())


@_quiet
def recipe_names(ctx: Any, incomplete: str) -> Iterator[str]:
    """The same, and recipe files."""
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    yield from (str(path) for path in sorted(folder.glob("*.y*ml")))
    yield from shipped_names(ctx, incomplete)


@_quiet
def run_names(ctx: Any, incomplete: str) -> Iterator[str]:
    """Runs in the folder of runs."""
    from o1kit.control.find import all_runs

    yield from (folder.name for folder in all_runs(_runs_dir(ctx)))


@_quiet
def stage_names(ctx: Any, incomplete: str) -> Iterator[str]:
    """Stages of the recipe or run that is named before."""
    yield from _stages(ctx)


@_quiet
def stage_ranges(ctx: Any, incomplete: str) -> Iterator[str]:
    """The same; after two dots, the end of a range."""
    first, dots, _ = incomplete.partition(RANGE)
    names = list(_stages(ctx))
    if not dots:
        yield from names
        return
    start = names.index(first) if first else 0
    yield from (f"{first}{RANGE}{name}" for name in names[start:])


@_quiet
def value_paths(ctx: Any, incomplete: str) -> Iterator[str]:
    """Values of a recipe in the section that is typed; where there is only one, also what it holds."""
    data = _resolved(_recipe(ctx))
    section = incomplete[: max(incomplete.rfind("."), incomplete.rfind("[")) + 1].rstrip(".[")
    found = [(path, value) for path, value in _below(_at(data, section), section) if path.startswith(incomplete)]
    yield from (path for path, _ in found)
    if len(found) == 1:  # so that no space is put after it
        path, value = found[0]
        yield from (inner for inner, _ in _below(value, path))


@_quiet
def changes(ctx: Any, incomplete: str) -> Iterator[str]:
    """The same for `--set`, where a plus may stand before it."""
    plus = "+" * incomplete.startswith("+")
    yield from (f"{plus}{path}" for path in value_paths(ctx, incomplete.removeprefix("+")))


@_quiet
def split_names(ctx: Any, incomplete: str) -> Iterator[str]:
    """Splits of the recipe that is named before."""
    from o1kit.recipe.layers import read_layers

    yield from read_layers(_recipe(ctx), ctx.params.get("overlays") or ()).source.data["tasks"]


@_quiet
def plugin_groups(ctx: Any, incomplete: str) -> Iterator[str]:
    """What a plugin may add to."""
    from o1kit.registry import GROUPS

    yield from GROUPS


def _recipe(ctx: Any) -> Path:
    """The recipe that is named before, or that of the run."""
    if any(parameter.name == "recipe" for parameter in ctx.command.params):
        return Path(ctx.params.get("recipe") or _word(ctx))
    from o1kit.control.find import RECIPE, find_run

    return find_run(ctx.params.get("run") or _word(ctx), _runs_dir(ctx)) / RECIPE


def _stages(ctx: Any) -> Iterator[str]:
    """Names of stages, as they are written: the recipe needs not be valid."""
    from o1kit.recipe.layers import read_layers

    recipe = _recipe(ctx)
    for stage in read_layers(recipe, ctx.params.get("overlays") or ()).source.data["stages"]:
        if isinstance(stage, dict) and isinstance(stage.get("name"), str):
            yield stage["name"]


def _resolved(recipe: Any) -> Any:
    """A recipe's values, with those that are defaults if it is valid."""
    from o1kit.config import public
    from o1kit.errors import RecipeError
    from o1kit.recipe.layers import read_layers
    from o1kit.recipe.loader import load_recipe

    try:
        return public(load_recipe(Path(recipe)))
    except RecipeError:
        return read_layers(Path(recipe)).source.data


def _at(data: Any, path: str) -> Any:
    from o1kit.recipe.nodes import steps

    for part in steps(path)[0]:
        data = data[part] if isinstance(data, dict) else data[int(part)] if part.isdecimal() else _named(data, part)
    return data


def _named(items: Iterable[Any], name: str) -> Any:
    return next(item for item in items if isinstance(item, dict) and item.get("name") == name)


def _below(data: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What a section or list holds, as `explain` reads it."""
    dot = f"{path}." if path else ""
    if isinstance(data, dict):
        yield from ((f"{dot}{key}", value) for key, value in data.items())
    elif isinstance(data, list):
        for i, item in enumerate(data):
            name = item.get("name") if isinstance(item, dict) else None
            yield f"{dot}{name}" if isinstance(name, str) else f"{path}[{i}]", item


def _runs_dir(ctx: Any) -> Path:
    from o1kit.cli.options import RUNS

    return Path(ctx.params.get("runs_dir") or RUNS)


def _word(ctx: Any) -> str:
    """The first word that is no option: where an option still lacks its value, arguments are not told apart."""
    return str(next(word for word in ctx.args if not word.startswith("-")))
