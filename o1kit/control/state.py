"""`look`: what a run is doing, from its files and its process alone."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from o1kit.artifacts import DONE
from o1kit.control.find import RECIPE
from o1kit.control.lock import free
from o1kit.control.records import LAUNCH, STATUS, Attempt, Heartbeat, StageNames, last_attempt, read_record

State = Literal["new", "running", "finished", "stopped", "failed", "died", "stale"]
FRESH_S = 120.0
"""A run on a machine that cannot be seen counts as running while its last heartbeat is younger."""
SILENT_S = 300.0
"""A living run whose heartbeat is older is said to be silent."""
SIGNALS = {129: "its terminal was closed", 130: "Ctrl-C", 143: "asked to stop"}
LONGEST_S = 1e10
"""Longer times that are left tell nothing."""
MAX_FILES = 200_000


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as it stands."""

    name: str
    directory: str
    state: State
    detail: str = ""
    """Why, in a few words."""
    attempt: int = 0
    pid: int = 0
    host: str = ""
    exit_code: int | None = None
    started: float | None = None
    ended: float | None = None
    heartbeat: float | None = None
    """When it last gave a sign, in seconds since 1970."""
    stages: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()
    stage: str = ""
    unit: str = ""
    done: float | None = None
    total: float | None = None
    rate: float | None = None
    eta_s: float | None = None
    """Seconds that are left of the stage."""
    metrics: dict[str, float | str | None] = field(default_factory=dict)
    disk_bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def look(directory: Path) -> RunState:
    """What the run in a folder is doing."""
    attempt = last_attempt(directory)
    if attempt is not None and attempt.ended is None and free(directory):
        attempt = last_attempt(directory)  # it may have ended between the two looks
    if attempt is None:
        return _unrecorded(directory)
    beat = read_record(directory / STATUS, Heartbeat)
    if beat is not None and beat.attempt != attempt.number:
        beat = None  # of an earlier start
    finished = _finished(directory, attempt, beat)
    state, detail = _state(directory, attempt, beat, finished)
    live = beat if beat is not None and beat.stage and state in ("running", "stale", "died", "stopped") else None
    return RunState(
        directory.resolve().name,
        str(directory),
        state,
        detail,
        attempt.number,
        attempt.process.pid,
        attempt.process.host,
        attempt.exit_code,
        attempt.started,
        attempt.ended,
        beat.time if beat is not None else None,
        stages=beat.stages if beat is not None else attempt.stages,
        finished=finished,
        stage=live.stage if live is not None else "",
        unit=live.unit if live is not None else "",
        done=live.done if live is not None else None,
        total=live.total if live is not None else None,
        rate=live.rate if live is not None else None,
        eta_s=_left_s(live) if live is not None else None,
        metrics=beat.metrics if beat is not None else {},
        disk_bytes=disk(directory),
    )


def _unrecorded(directory: Path) -> RunState:
    """A fork that was not started yet, or a run of an o1kit that kept no records."""
    recipe = read_record(directory / RECIPE, StageNames)
    names = tuple(stage.name for stage in recipe.stages) if recipe is not None else ()
    done = tuple(name for name in names if _marked(directory, name))
    state: State = "finished" if names and len(done) == len(names) else "new"
    known = (directory / LAUNCH).exists()
    detail = "" if state == "finished" else "not started yet" if known else "started by an earlier o1kit, if at all"
    path, name = str(directory), directory.resolve().name
    return RunState(name, path, state, detail, stages=names, finished=done, disk_bytes=disk(directory))


def disk(directory: Path) -> int:
    """Bytes on disk of all files in a folder; links are not followed, names of one file count once."""
    total, seen = 0, set[tuple[int, int]]()
    for folder, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):
                entry = os.lstat(os.path.join(folder, name))
                key = (entry.st_dev, entry.st_ino)
                total += entry.st_blocks * 512 if key not in seen else 0
                seen.add(key)
        if len(seen) > MAX_FILES:
            break
    return total


def _finished(directory: Path, attempt: Attempt, beat: Heartbeat | None) -> tuple[str, ...]:
    """Stages whose folder is marked as done; while it runs, those it has said so of itself."""
    if beat is not None and attempt.ended is None:
        return beat.finished
    names = beat.stages if beat is not None else attempt.stages
    return tuple(name for name in names if _marked(directory, name))


def _marked(directory: Path, stage: str) -> bool:
    return (directory / Path(stage).name / DONE).is_file()


def _state(directory: Path, attempt: Attempt, beat: Heartbeat | None, finished: tuple[str, ...]) -> tuple[State, str]:
    if attempt.ended is None:
        return _open_end(directory, attempt, beat)
    if attempt.exit_code in SIGNALS:
        return "stopped", SIGNALS[attempt.exit_code]
    if attempt.exit_code != 0:
        return "failed", attempt.error.strip().partition("\n")[0] or f"exit code {attempt.exit_code}"
    left = [name for name in (beat.stages if beat is not None else attempt.stages) if name not in finished]
    return ("stopped", f"to do: {', '.join(left)}") if left else ("finished", "")


def _open_end(directory: Path, attempt: Attempt, beat: Heartbeat | None) -> tuple[State, str]:
    """The state of a start whose end nobody has written down."""
    silent = time.time() - (beat.time if beat is not None else attempt.started)
    if attempt.process.alive and free(directory):
        return "died", f"process {attempt.process.pid} does not work in this folder, which may be a copy"
    if attempt.process.alive:
        return "running", "" if silent < SILENT_S else f"no sign for {round(silent / 60)} minutes"
    if attempt.process.here or attempt.process.rebooted:
        return "died", "killed, or the machine went down"
    if silent < FRESH_S:
        return "running", f"on {attempt.process.host}"
    return "stale", f"on {attempt.process.host}, no sign for {_span(silent)}"


def _left_s(beat: Heartbeat) -> float | None:
    """Seconds that are left of the stage; None where that cannot be told."""
    if beat.total is None or beat.rate <= 0:
        return None
    seconds = max(beat.total - beat.done, 0.0) / beat.rate
    return seconds if seconds <= LONGEST_S else None


def _span(seconds: float) -> str:
    return f"{round(seconds / 60)} minutes" if seconds < 7200 else f"{round(seconds / 3600)} hours"
