"""Small JSON files about a run, as they are read back: whatever is damaged, foreign or half-written counts as absent.

runs/<name>/launch.json        how the run was last started: what `o1kit resume` starts from
runs/<name>/attempts/<n>.json  one start: process, command, versions, and how it ended
runs/<name>/status.json        how far the process is, written about once a second
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from o1kit.control.process import Process

ATTEMPTS = "attempts"
LAUNCH = "launch.json"
STATUS = "status.json"
MAX_BYTES = 2_000_000
"""Larger files are none of ours."""


class Record(BaseModel):
    """A file about a run; keys of later versions are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


R = TypeVar("R", bound=Record)
Time = Annotated[float, Field(ge=0, le=1e11)]
"""Seconds since 1970."""
Amount = Annotated[float, Field(ge=0, le=1e18)]
"""How much of something that is counted."""


class Launch(Record):
    """What a run was started with."""

    recipe: str | None = None
    """Absolute path of the recipe file; None: the run's own recipe.json is the recipe."""
    recipe_directory: str = "."
    """Folder that relative paths in the recipe start from."""
    overlays: tuple[str, ...] = ()
    """Absolute paths of the files laid over it."""
    sets: tuple[str, ...] = ()
    """Changes from the command line."""
    stages: tuple[str, ...] = ()
    """What was selected; empty: all."""
    cwd: str | None = None
    """Folder that it was started in."""
    forked_from: str | None = None
    """Folder of the run that it is a variant of."""


class Attempt(Record):
    """One start of a run."""

    number: int
    process: Process
    command: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    """Stages that it was to run, in order."""
    versions: dict[str, str] = {}
    """Packages that decide what is computed."""
    started: Time
    """Seconds since 1970."""
    ended: Time | None = None
    """None while it runs, and for ever if it was killed."""
    exit_code: int | None = None
    error: str = ""
    """What it ended with, if that was an error."""


class Heartbeat(Record):
    """How far a run is."""

    attempt: int
    time: Time
    """When it was written, in seconds since 1970."""
    stages: tuple[str, ...] = ()
    """All stages of the plan, in order."""
    finished: tuple[str, ...] = ()
    stage: str = ""
    """The one in progress; empty between stages."""
    unit: str = ""
    """What is counted: steps, iterations, problems."""
    done: Amount = 0.0
    total: Amount | None = None
    rate: Amount = 0.0
    """Units a second."""
    within: str = ""
    """The shorter loop inside the one that is counted."""
    metrics: dict[str, float | str | None] = {}


class StageName(Record):
    """A stage of a recipe."""

    name: str


class StageNames(Record):
    """Of a run's recipe.json, what its stages are called."""

    stages: tuple[StageName, ...]


def read_record(path: Path, kind: type[R]) -> R | None:
    """The record in a file, or None if there is none that makes sense."""
    with suppress(OSError, ValidationError):
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        return kind.model_validate_json(content) if len(content) <= MAX_BYTES else None
    return None


def attempt_numbers(directory: Path) -> list[int]:
    """Numbers of the starts of a run, in order."""
    with suppress(OSError):
        return sorted(int(f.stem) for f in (directory / ATTEMPTS).glob("*.json") if f.stem.isdecimal())
    return []


def last_attempt(directory: Path) -> Attempt | None:
    """The newest start of a run that can be read."""
    for number in reversed(attempt_numbers(directory)):
        attempt = read_record(directory / ATTEMPTS / f"{number}.json", Attempt)
        if attempt is not None:
            return attempt
    return None
