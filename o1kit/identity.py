"""What makes a stage's folder the right one: its fingerprint, the very weights it was built on, the files it read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o1kit.artifacts import digest, fingerprint_of, read_done, sha256_of
from o1kit.config import Config, public
from o1kit.protocols import Artifact

if TYPE_CHECKING:
    from o1kit.plan import Plan, PlannedStage

STAGE = "stage.json"
"""A stage's identity, written when it begins."""


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

    @cached_property
    def data(self) -> dict[str, str]:
        """Hashes of the files that problems are read from: what they hold decides what is trained."""
        return self._hashes([source for split in self.plan.recipe.tasks.values() for source in split.sources])

    def files(self, stage: PlannedStage) -> list[str]:
        """Paths of the files that a stage's own sections read."""
        paths = (getattr(section, "path", None) for section in _sections(stage))
        return [path for path in paths if path is not None]

    def _files(self, stage: PlannedStage) -> dict[str, str]:
        return self._hashes(_sections(stage))

    def _folders(self, stage: PlannedStage) -> dict[str, str]:
        """Hashes of the folders of weights from outside the run: retrained in place, they are others."""
        model = getattr(self.plan.recipe, "model", None)
        folders = {written: Path(path) for written, path in _paths([model], "source").items()}
        judges = _paths([stage.config], "judge_folder")
        folders |= {written: self.recipe_directory / path for written, path in judges.items()}
        return {name: fingerprint_of(folder) for name, folder in folders.items() if folder.is_dir()}

    def _hashes(self, sections: Sequence[object]) -> dict[str, str]:
        files = {written: self.recipe_directory / path for written, path in _paths(sections, "path").items()}
        return {name: sha256_of(files[name]) if files[name].is_file() else "" for name in sorted(files)}


def _sections(stage: PlannedStage) -> list[object]:
    return [getattr(stage.config, name, None) for name in ("source", "labels", "pairs")]


def _paths(sections: Sequence[object], field: str) -> dict[str, str]:
    """What sections say in a field that holds a path, by how it is written: `${env:NAME}` and from the recipe."""
    found = {}
    for section in sections:
        path = getattr(section, field, None)
        if isinstance(path, str):
            written = public(section, include={field})[field] if isinstance(section, Config) else path
            found[str(written)] = path
    return found
