"""Runs by name or path."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from o1kit.control.records import ATTEMPTS, LAUNCH
from o1kit.errors import EnvironmentFailure, RecipeError
from o1kit.registry import suggestion

RECIPE = "recipe.json"
MARKS = (RECIPE, LAUNCH, ATTEMPTS)


def is_run(directory: Path) -> bool:
    """True for a folder that a run has left something in."""
    with suppress(OSError):
        return any((directory / mark).exists() for mark in MARKS)
    return False


def all_runs(runs_dir: Path) -> list[Path]:
    """Folders of all runs under a folder, by name.

    Raises:
        EnvironmentFailure: it cannot be read.
    """
    try:
        return sorted(folder for folder in runs_dir.iterdir() if folder.is_dir() and is_run(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EnvironmentFailure(f"{runs_dir}: cannot be read: {error.strerror}. Name another --runs-dir.") from error


def find_run(text: str, runs_dir: Path) -> Path:
    """The folder of a run: `runs_dir/text`, or the path itself.

    Raises:
        RecipeError: there is no such run.
    """
    named, path = runs_dir / text, Path(text)
    for folder in (named, path):
        if is_run(folder):
            return folder
    if path.is_dir() or named.is_dir():
        folder = path if path.is_dir() else named
        raise RecipeError(f"{folder}: no run was started in this folder. Name the folder that holds recipe.json.")
    names = [folder.name for folder in all_runs(runs_dir)]
    hint = suggestion(text, names) if names else f" {runs_dir} holds none; name another --runs-dir."
    raise RecipeError(f"no run {text!r} in {runs_dir}.{hint}")
