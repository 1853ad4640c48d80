"""What goes into an archive: a recipe with all it extends, its lock, and what a run measured; no code, no weights."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from o1kit.config import public
from o1kit.errors import DataError
from o1kit.functional.secrets import reveal
from o1kit.models.config import HfModelConfig
from o1kit.recipe.compose import text_of
from o1kit.recipe.loader import load
from o1kit.recipe.schema import Recipe
from o1kit.sharing.archive import MAX_MEMBER, archive_bytes, manifest_of
from o1kit.sharing.inputs import paths_of
from o1kit.sharing.lock import SUFFIX, lock_of, lock_text
from o1kit.sharing.tree import README, SHIPPED

RUN = "run"
"""Folder, in the archive of a run, of what it measured."""
RECIPE = "recipe.json"
MAX_DATA = 16 * 2**20
"""Most bytes of a file of data that is packed."""


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive, and what was left out of it."""

    content: bytes
    files: Mapping[str, int]
    notes: tuple[str, ...]


def pack(source: Path, *, with_data: bool = False) -> Packed:
    """The archive of a recipe, a lock, or a run's folder.

    Raises:
        RecipeError: the recipe is wrong.
        DataError: a file that the recipe reads is missing, or has changed since the run.
    """
    files, recipe, lock, notes = _run(source, with_data) if source.is_dir() else _recipe(source, with_data)
    content = archive_bytes(manifest_of(recipe, lock, files), files)
    return Packed(content, {name: len(files[name]) for name in sorted(files)}, tuple(notes))


Parts = tuple[dict[str, bytes], str, str | None, list[str]]


def _recipe(path: Path, with_data: bool) -> Parts:
    loaded = load(path)
    here = Path(os.path.abspath(path.parent))
    data, notes = _data(loaded.recipe, here, with_data)
    beside = [here / README] if (here / README).is_file() else []
    everything = [*(Path(os.path.abspath(f)) for f in loaded.files), *beside, *data]
    root = Path(os.path.commonpath([str(f.parent) for f in everything]))
    files = {f.relative_to(root).as_posix(): f.read_bytes() for f in everything}
    name = (here / path.name).relative_to(root).as_posix()
    if loaded.recipe.lock is not None:
        return files, name, name, notes
    lock = (here / path.name).with_suffix(SUFFIX).relative_to(root).as_posix()
    files[lock] = lock_text(loaded.recipe, here, path.name).encode()
    return files, name, lock, notes


def _run(folder: Path, with_data: bool) -> Parts:
    if not (folder / RECIPE).is_file():
        raise DataError(f"{folder}: holds no {RECIPE}, so it is no run's folder. Give runs/NAME, or a recipe.")
    here = _directory(folder)
    recipe = load(folder / RECIPE, directory=here).recipe
    _find_model(folder, recipe)
    files = {"recipe.yaml": text_of(public(recipe, exclude={"lock"})).encode()}
    notes: list[str] = []
    lock: str | None = None
    if here is not None:
        files["recipe.lock"] = _lock(folder, recipe, here).encode()
        lock = "recipe.lock"
        data, notes = _data(recipe, here, with_data)
        files |= {f.relative_to(here).as_posix(): f.read_bytes() for f in data if f.is_relative_to(here)}
    else:
        notes.append("no lock: the folder that the recipe's paths start from is not known any more")
    for file in _measured(folder):
        name = f"{RUN}/{file.relative_to(folder).as_posix()}"
        if file.stat().st_size <= MAX_MEMBER:
            files[name] = file.read_bytes()
        else:
            notes.append(f"left out: {name}, larger than {MAX_MEMBER >> 20} MiB")
    return files, "recipe.yaml", lock, notes


def _lock(folder: Path, recipe: Recipe, here: Path) -> str:
    """The lock that the run started from, or one with the versions and hashes that the run noted."""
    if recipe.lock is not None:
        return text_of(public(recipe, exclude={"lock"}) | {"lock": recipe.lock.model_dump(mode="json")})
    lock = lock_of(recipe, here)
    for done in sorted(folder.glob("*/done.json")):
        for name, then in _json(done).get("data", {}).items():
            if name in lock.files and then not in ("", lock.files[name].sha256):
                raise DataError(f"{here / name}: has changed since the run. Put it back, or run the recipe again.")
    versions = _json(max((folder / "attempts").glob("*.json"), key=_number, default=folder / "none")).get(
        "versions", {}
    )
    packages = {name: str(versions.get(name, now)) for name, now in lock.packages.items()}
    python = str(versions.get("python", lock.python))
    lock = lock.model_copy(update={"packages": packages, "python": python})
    return text_of(public(recipe, exclude={"lock"}) | {"lock": lock.model_dump(mode="json")})


def _find_model(folder: Path, recipe: Recipe) -> None:
    """Makes sure that a model which was a folder when the run read it is not taken for a hub id."""
    if not isinstance(recipe.model, HfModelConfig) or Path(recipe.model.source).is_dir():
        return
    source = recipe.model.source
    read = {name for done in folder.glob("*/done.json") for name in _json(done).get("data", {})}
    if source in read or source.startswith((".", "/")):
        raise DataError(f"{source}: the run's model is not there. Put it back.")


def _directory(folder: Path) -> Path | None:
    """The folder that the run's recipe lay in, if the run noted it and it is still there."""
    noted = _json(folder / "launch.json").get("recipe_directory")
    path = Path(reveal(noted)) if isinstance(noted, str) else None
    return path if path is not None and path.is_absolute() and path.is_dir() else None


def _measured(folder: Path) -> list[Path]:
    """Results, the plan with what it took, and of each stage its metrics and the hashes of its files."""
    names = ("plan.json", "results.json", "*/results.json", "*/metrics.jsonl", "*/done.json")
    found = {file for name in names for file in folder.glob(name)}
    return sorted(f for f in found if f.is_file() and not f.is_symlink() and not f.parent.name.endswith(".previous"))


def _data(recipe: Recipe, here: Path, with_data: bool) -> tuple[list[Path], list[str]]:
    """Files of data that are packed, and what is to be said of the others."""
    packed, notes = [], []
    for path, actual in paths_of(recipe).items():
        file = Path(os.path.abspath(here / actual))
        if not with_data:
            notes.append(f"left out: {path} (data; small files come along with --with-data)")
        elif Path(path).is_absolute() or path != actual or not file.is_file() or file.suffix not in SHIPPED:
            notes.append(f"left out: {path}, which is no {' or '.join(SHIPPED)} file beside the recipe")
        elif file.stat().st_size > MAX_DATA:
            notes.append(f"left out: {path}, larger than {MAX_DATA >> 20} MiB")
        else:
            packed.append(file)
    return packed, notes


def _number(file: Path) -> int:
    return int(file.stem) if file.stem.isdecimal() else -1


def _json(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        value = json.loads(path.read_text(encoding="utf-8"))
        return value if isinstance(value, dict) else {}
    return {}
