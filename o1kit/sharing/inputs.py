"""What a valid recipe reads besides itself: files, folders of weights, models of the hub, installed plugins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from o1kit.artifacts import sha256_of
from o1kit.errors import DataError
from o1kit.models.config import HfModelConfig
from o1kit.recipe.schema import Recipe
from o1kit.sharing.config import FileHash

READ = ("path", "judge_folder")
"""Fields of sections that name a file or a folder relative to the recipe."""
GROUPS = "o1kit."
"""What the names of groups of plugins begin with."""


def sections(value: Any) -> Iterator[BaseModel]:
    """All sections of a recipe, outer ones first."""
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from sections(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from sections(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from sections(item)


def paths_of(recipe: Recipe) -> list[str]:
    """Files and folders that the recipe names, as they are written, sorted; not its model."""
    found = {getattr(section, name, None) for section in sections(recipe) for name in READ}
    return sorted(path for path in found if isinstance(path, str))


def model_folder(recipe: Recipe, directory: Path) -> Path | None:
    """The local folder that the model is read from, or None where it is made here or has a hub id."""
    if not isinstance(recipe.model, HfModelConfig):
        return None
    # As it is given, or beside the recipe.
    places = (Path(recipe.model.source), directory / recipe.model.source)
    return next((place for place in places if place.is_dir()), None)


def hub_models(recipe: Recipe, directory: Path) -> dict[str, str | None]:
    """Hub ids that the recipe names, each with the commit that is in the local cache."""
    if not isinstance(recipe.model, HfModelConfig) or model_folder(recipe, directory) is not None:
        return {}
    return {recipe.model.source: cached_commit(recipe.model.source)}


def cached_commit(hub_id: str) -> str | None:
    """The commit of a hub model that would be loaded from the local cache; nothing is asked of the network."""
    from huggingface_hub import try_to_load_from_cache

    with suppress(ValueError):  # no valid id
        found = try_to_load_from_cache(hub_id, "config.json")
        return Path(found).parent.name if isinstance(found, str) else None
    return None


def file_hashes(recipe: Recipe, directory: Path) -> dict[str, FileHash]:
    """Hashes of every file that the recipe reads; those of folders are listed one by one.

    Raises:
        DataError: one is missing or cannot be read.
    """
    found: dict[str, FileHash] = {}
    folder = model_folder(recipe, directory)
    named = [*paths_of(recipe), *([recipe.model.source] if folder and isinstance(recipe.model, HfModelConfig) else [])]
    for name in named:
        place = folder if folder is not None and name not in paths_of(recipe) else directory / name
        files = sorted(f for f in place.rglob("*") if f.is_file()) if place.is_dir() else [place]
        for file in files:
            inner = file.relative_to(place).as_posix()
            found[name if file == place else f"{name.rstrip('/')}/{inner}"] = _hash(file)
    return found


def installed() -> list[EntryPoint]:
    """What installed packages add to o1kit, of all groups; nothing is imported."""
    everything = entry_points()
    return [e for group in everything.groups if group.startswith(GROUPS) for e in everything.select(group=group)]


def plugin_versions(recipe: Recipe) -> dict[str, str]:
    """Versions of the installed packages, other than o1kit, whose kinds the recipe names."""
    named = {getattr(s, "kind", None) for s in sections(recipe) if not type(s).__module__.startswith("o1kit.")}
    named |= {getattr(section, "teacher", None) for section in sections(recipe)}
    found = {}
    for entry in installed():
        if entry.name in named and entry.dist is not None:
            found[entry.dist.name] = entry.dist.version
    return dict(sorted(found.items()))


def _hash(file: Path) -> FileHash:
    try:
        return FileHash(sha256=sha256_of(file), size=file.stat().st_size)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"{file}: the recipe reads this file, and it cannot be read: {reason}. Check its path."
        ) from None
