"""What makes a stage's folder the right one: its fingerprint, the very weights it was built on, the files it read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o1kit.artifacts import digest, fingerprint_of, finite, read_artifact, read_done, sha256_of
from o1kit.protocols import Artifact

if TYPE_CHECKING:
    from o1kit.plan import Plan, PlannedStage

STAGE = "stage.json"
"""A stage's identity, written when it begins."""


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
        # As it will be read back: a path from the environment is not written.
        identity: dict[str, Any] = finite({"fingerprint": stage.fingerprint, "inputs": inputs, "data": data})
        return identity

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
        """Hashes of the files that problems are read from: what they hold decides what is trained."""
        sources = [source for split in self.plan.recipe.tasks.values() for source in split.sources]
        paths = {path for path in (getattr(source, "path", None) for source in sources) if isinstance(path, str)}
        return self._hashes(sorted(paths))

    def files(self, stage: PlannedStage) -> list[str]:
        """Paths of the files that a stage's own sections read, as the recipe writes them."""
        sections = (getattr(stage.config, name, None) for name in ("source", "labels", "pairs"))
        paths = (getattr(section, "path", None) for section in sections)
        return [path for path in paths if path is not None]

    def _files(self, stage: PlannedStage) -> dict[str, str]:
        return self._hashes(self.files(stage))

    def _folders(self, stage: PlannedStage) -> dict[str, str]:
        """Hashes of the folders of weights from outside the run: retrained in place, they are others."""
        model = getattr(getattr(self.plan.recipe, "model", None), "source", None)
        judge = getattr(stage.config, "judge_folder", None)
        folders = {model: Path(model)} if model is not None else {}
        folders |= {judge: self.recipe_directory / judge} if judge is not None else {}
        return {name: fingerprint_of(folder) for name, folder in folders.items() if folder.is_dir()}

    def _hashes(self, paths: Sequence[str]) -> dict[str, str]:
        files = {path: self.recipe_directory / path for path in paths}
        return {path: sha256_of(file) if file.is_file() else "" for path, file in files.items()}
