"""What a valid recipe reads besides itself: files, folders of weights, models of the hub, installed plugins."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from o1kit.config import Beside, Found, public
from o1kit.errors import DataError
from o1kit.kinds import used
from o1kit.recipe.beside import path_fields
from o1kit.recipe.schema import Recipe
from o1kit.sharing.config import FileHash

READ = ("path", "judge_folder", "known")
"""Names of the fields that hold a file or a folder, which recipes that were not validated are searched for."""
MAX_FILES = 1000
"""Most files of a folder that a recipe reads."""
MAX_ENTRIES = 5000
"""Most files and folders in it, at any depth."""
MAX_TOTAL = 4 * 2**40
"""Most bytes of its files."""
PIECE = 2**20
SYSTEM = ("/proc", "/sys")
"""Folders whose files are made up by the system."""


def paths_of(recipe: Recipe) -> dict[str, str]:
    """Files and folders that the recipe names, without its model: as they may be shown, and as they are."""
    return _paths(recipe, lambda mark: not isinstance(mark, Found))


def models_of(recipe: Recipe) -> dict[str, str]:
    """Folders or hub ids of its model, and of tokenizers of servers: as they may be shown, and as they are."""
    return _paths(recipe, lambda mark: isinstance(mark, Found))


def _paths(recipe: Recipe, wanted: Callable[[Beside], bool]) -> dict[str, str]:
    shown, actual = public(recipe), recipe.model_dump(mode="json")
    found = {_at(shown, path): _at(actual, path) for path, mark in path_fields(recipe) if wanted(mark)}
    return dict(sorted(found.items()))


def hub_models(recipe: Recipe) -> dict[str, str | None]:
    """Hub ids that the recipe names, each with the commit that is in the local cache."""
    return {name: cached_commit(model) for name, model in models_of(recipe).items() if not Path(model).is_dir()}


def cached_commit(hub_id: str) -> str | None:
    """The commit of a hub model that would be loaded from the local cache; nothing is asked of the network."""
    from huggingface_hub import try_to_load_from_cache

    with suppress(ValueError):  # no valid id
        found = try_to_load_from_cache(hub_id, "config.json")
        return Path(found).parent.name if isinstance(found, str) else None
    return None


def files_read(recipe: Recipe, directory: Path) -> dict[str, Path]:
    """Every file that the recipe reads, those of folders one by one, by the name it has in a lock.

    Args:
        recipe: a valid recipe.
        directory: the folder that its paths start from.
    """
    named = {name: directory / path for name, path in paths_of(recipe).items()}
    named |= {name: Path(model) for name, model in models_of(recipe).items() if Path(model).is_dir()}
    found: dict[str, Path] = {}
    for name, place in named.items():
        files = _inside(place) if place.is_dir() else [place]
        for file in files:
            inner = file.relative_to(place).as_posix()
            found[name if file == place else f"{name.rstrip('/')}/{inner}"] = file
    return found


def file_hashes(recipe: Recipe, directory: Path) -> dict[str, FileHash]:
    """Hashes of every file that the recipe reads.

    Raises:
        DataError: one is missing or cannot be read.
    """
    return {name: file_hash(file) for name, file in files_read(recipe, directory).items()}


def file_hash(file: Path) -> FileHash:
    """Hash and size of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        _ordinary(file)
        if not file.is_file() and file.exists():
            raise DataError(f"{file}: the recipe reads this, and it is no file. Check its path.")
        with file.open("rb") as stream:
            return _hashed(stream, file)
    except OSError as error:
        text = f"the recipe reads this file, and it cannot be read: {error.strerror or error}"
        raise DataError(f"{file}: {text}. Check its path.") from None


def _hashed(stream: BinaryIO, file: Path) -> FileHash:
    """Hash of as much as the file said that it holds: there are files without an end."""
    size = os.fstat(stream.fileno()).st_size
    found, left = sha256(), size + 1
    while left and (piece := stream.read(min(left, PIECE))):
        found.update(piece)
        left -= len(piece)
    if left != 1 or os.fstat(stream.fileno()).st_size != size:
        raise DataError(f"{file}: its size changed while it was read. Wait until nothing writes to it.")
    return FileHash(sha256=found.hexdigest(), size=size)


def _ordinary(path: Path) -> None:
    """Makes sure that a file or folder is not made up by the system, where some files have no end."""
    real = path.resolve()
    if any(real.is_relative_to(root) for root in SYSTEM):
        raise DataError(f"{path}: lies in {' or '.join(SYSTEM)}, where there is no data. Check the recipe's paths.")


def plugin_versions(recipe: Recipe) -> dict[str, str]:
    """Versions of the installed packages, other than o1kit, whose kinds the recipe names."""
    return {plugin.distribution: plugin.version for plugin in sorted(used(recipe), key=lambda p: p.distribution)}


def _inside(folder: Path) -> list[Path]:
    """The regular files of a folder that a recipe reads.

    Raises:
        DataError: it holds more than models do.
    """
    _ordinary(folder)
    found: list[Path] = []
    total = 0
    for seen, file in enumerate(folder.rglob("*"), 1):
        if file.is_file():
            found.append(file)
            total += file.stat().st_size
        if len(found) > MAX_FILES or seen > MAX_ENTRIES or total > MAX_TOTAL:
            most = f"{MAX_FILES} files, {MAX_ENTRIES} entries or {MAX_TOTAL >> 40} TiB"
            raise DataError(f"{folder}: more than {most}: this is no folder of a model. Check its path.")
    return sorted(found)


def _at(data: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        data = data[part]
    return data
