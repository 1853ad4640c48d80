"""What makes a stage's folder the right one: its fingerprint, the very weights it was built on, the files it read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o1kit.artifacts import digest, fingerprint_of, read_artifact, read_done, sha256_of
from o1kit.config import Config, Found, public
from o1kit.errors import DataError
from o1kit.protocols import Artifact
from o1kit.recipe.beside import path_fields

if TYPE_CHECKING:
    from o1kit.plan import Plan, PlannedStage

STAGE = "stage.json"
"""A stage's identity, written when it begins."""
MAX_FILES = 1000
"""Most files of a folder that a section names."""


def previous_of(directory: Path) -> Path:
    """Where a stage's folder goes when another version of the stage takes its place."""
    return directory.with_name(f"{directory.name}.previous")


class Identities:
    """The identities of a plan's stages. Files are read once, when a stage first asks."""

    def __init__(self, plan: Plan, recipe_directory: Path) -> None:
        self.plan, self.recipe_directory = plan, recipe_directory

    def of(self, stage: PlannedStage, finished: Mapping[str, Artifact]) -> dict[str, Any]:
        """The identity of a stage whose inputs are finished."""
        inputs = {name: digest(finished[name].directory) for name in stage.inputs}
        data = self.data | self._files(stage) | self._folders(stage)
        return {"fingerprint": stage.fingerprint, "inputs": inputs, "data": data}

    def current(self, stage: PlannedStage, directory: Path, finished: Mapping[str, Artifact]) -> bool:
        """True if what is marked as done in a folder is this stage."""
        done = read_done(directory) or {}
        return {key: done.get(key) for key in ("fingerprint", "inputs", "data")} == self.of(stage, finished)

    def kept(self, stage: PlannedStage, directory: Path, finished: Mapping[str, Artifact]) -> Artifact | None:
        """What this stage made before another version of it took its folder, if that is intact."""
        previous = previous_of(directory)
        artifact = read_artifact(previous)
        return artifact if artifact is not None and self.current(stage, previous, finished) else None

    @cached_property
    def data(self) -> dict[str, str]:
        """Hashes of what problems are read from: what it holds decides what is trained."""
        return self._hashes(_paths(self.plan.recipe.tasks))

    def files(self, stage: PlannedStage) -> list[str]:
        """Paths that a stage's own sections read; without the folder of its judge."""
        return list(self._read(stage).values())

    def _read(self, stage: PlannedStage) -> dict[str, str]:
        judge = getattr(stage.config, "judge_folder", None)
        return {written: path for written, path in _paths(stage.config).items() if path != judge}

    def _files(self, stage: PlannedStage) -> dict[str, str]:
        return self._hashes(self._read(stage))

    def _folders(self, stage: PlannedStage) -> dict[str, str]:
        """Hashes of the folders of weights from outside the run: retrained in place, they are others."""
        model = getattr(self.plan.recipe, "model", None)
        folders = {written: Path(path) for written, path in _written(model, "source").items()}
        judges = _written(stage.config, "judge_folder")
        folders |= {written: self.recipe_directory / path for written, path in judges.items()}
        return {name: fingerprint_of(folder) for name, folder in folders.items() if folder.is_dir()}

    def _hashes(self, paths: Mapping[str, str]) -> dict[str, str]:
        return {written: _hash(self.recipe_directory / paths[written]) for written in sorted(paths)}


def _paths(sections: Any) -> dict[str, str]:
    """Files and folders that sections name, plugins' ones too: whatever is marked as a path.

    By how they are written: `${env:NAME}`, and from the recipe.
    """
    found = {}
    for path, mark in path_fields(sections):
        shown, value = None, sections
        for part in path:
            if isinstance(value, Config):
                shown, value = public(value, include={str(part)})[part], getattr(value, str(part))
            else:
                shown, value = shown[part] if shown is not None else None, value[part]
        if shown is not None and not isinstance(mark, Found):
            found[str(shown)] = value
    return found


def _written(section: object, field: str) -> dict[str, str]:
    """What a section says in a field that holds a folder, by how it is written."""
    path = getattr(section, field, None)
    if not isinstance(path, str):
        return {}
    return {str(public(section, include={field})[field] if isinstance(section, Config) else path): path}


def _hash(place: Path) -> str:
    """A hash of a file, or of the files in a folder; empty where there is nothing."""
    if not place.is_dir():
        return sha256_of(place) if place.is_file() else ""
    inside = [file for file in islice(place.rglob("*"), MAX_FILES + 1) if file.is_file()]
    if len(inside) > MAX_FILES:
        raise DataError(f"{place}: more than {MAX_FILES} files, too many to tell whether they change. Check the path.")
    listed = sorted((file.relative_to(place).as_posix(), sha256_of(file)) for file in inside)
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()
