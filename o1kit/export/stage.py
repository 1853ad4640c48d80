"""`export_stage`: a finished stage, checked file by file, written whole or not at all by an exporter."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from o1kit import registry
from o1kit.artifacts import disk_errors, read_artifact, read_done
from o1kit.errors import DataError, EnvironmentFailure
from o1kit.export.config import ExporterSection


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished stage: all files of `done.json` are there and are what it says."""

    directory: Path
    done: Mapping[str, Any]

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file, by its name."""
        return {name: entry["sha256"] for name, entry in self.done["files"].items()}


class Exporter(Protocol):
    """Writes a stage in a form that other programs read. Built from its section."""

    def write(self, stage: Finished, directory: Path) -> None:
        """Fills an empty folder, and raises DataError where the stage is not of a kind that it can write."""
        ...


def export_stage(directory: Path, out: Path, section: ExporterSection) -> None:
    """Writes a stage's folder in another form.

    Raises:
        DataError: the stage is not finished, has changed since, or has no weights.
        EnvironmentFailure: there is something at `out` already.
    """
    done = read_done(directory)
    if done is None:
        raise DataError(f"{directory}: has no done.json, so it is no finished stage. Name runs/<run>/<stage>.")
    if read_artifact(directory) is None:
        raise DataError(
            f"{directory}: its files are not what done.json says: damaged, or changed. Run the stage again."
        )
    if not any(name.endswith(".safetensors") for name in done["files"]):
        raise DataError(f"{directory}: a stage of kind {done.get('kind')!r} has no weights. Name one that trains.")
    if out.exists():
        raise EnvironmentFailure(f"{out}: is there already. Name a folder that is not.")
    exporter: Exporter = registry.lookup("exporters", section.kind)(section)
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            exporter.write(Finished(directory, done), made)
            made.chmod(0o755)
            os.rename(made, out)
        finally:
            shutil.rmtree(made, ignore_errors=True)
