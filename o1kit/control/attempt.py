"""`recorded`: a start of a run leaves a file that says what ran where, and how it ended; a heartbeat while it works."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import ValidationError

from o1kit.artifacts import finite, write_json
from o1kit.control.process import this_process
from o1kit.control.records import ATTEMPTS, LAUNCH, STATUS, Attempt, Heartbeat, Launch, attempt_numbers
from o1kit.errors import O1kitError
from o1kit.functional.secrets import hide
from o1kit.tracking.progress import Progress

PACKAGES = ("o1kit", "torch", "lightning", "transformers", "peft", "numpy", "safetensors", "tokenizers")
"""Those whose versions decide what is computed."""
BEAT_S = 1.0
"""Seconds between two heartbeats."""
MAX_ERROR = 4000


class Beats:
    """Writes how far a run is to its status file, at most once a second; what goes wrong with it stops nothing."""

    def __init__(self, directory: Path, attempt: int, stages: Sequence[str]) -> None:
        self.path = directory / STATUS
        self._attempt, self._stages = attempt, tuple(stages)
        self._finished: list[str] = []
        self._stage = ""
        self._loop: Progress | None = None
        self._inner: Progress | None = None
        self._written = 0.0
        self._write()

    def enter(self, stage: str) -> None:
        """A stage begins."""
        self._stage, self._loop, self._inner = stage, None, None
        self._write()

    def leave(self, stage: str) -> None:
        """A stage is finished, now or before."""
        self._stage, self._loop, self._inner = "", None, None
        self._finished.append(stage)
        self._write()

    def moved(self, loop: Progress) -> None:
        """A loop is one unit further."""
        if loop.nested:
            self._inner = loop
        else:
            self._loop, self._inner = loop, None
        if time.monotonic() - self._written >= BEAT_S:
            self._write()

    def last(self) -> None:
        """The run ends here: what came after the last beat is written too."""
        self._write()

    def _beat(self) -> Heartbeat:
        shown = dict(self._loop.fields) if self._loop is not None else {}
        return Heartbeat(
            attempt=self._attempt,
            time=round(time.time(), 3),
            stages=self._stages,
            finished=tuple(self._finished),
            stage=self._stage,
            unit=self._loop.label if self._loop is not None else "",
            done=self._loop.done if self._loop is not None else 0.0,
            total=self._loop.total if self._loop is not None else None,
            rate=self._loop.rate if self._loop is not None else 0.0,
            within=self._inner.text if self._inner is not None else "",
            metrics={n: value if isinstance(value, str) else finite(float(value)) for n, value in shown.items()},
        )

    def _write(self) -> None:
        """Whole or not at all, but not synced: after a power cut an older heartbeat does as well."""
        self._written = time.monotonic()
        temporary = self.path.with_name(f".{STATUS}.{os.getpid()}.tmp")
        with suppress(OSError, ValidationError):
            temporary.write_text(json.dumps(finite(self._beat().model_dump()), indent=2), encoding="utf-8")
            os.replace(temporary, self.path)


@contextmanager
def recorded(directory: Path, launch: Launch, planned: Sequence[str], chosen: Sequence[str]) -> Iterator[Beats]:
    """Records a start of the run for as long as it is open, and how it ends. The folder's lock must be held.

    Args:
        directory: the run's folder.
        launch: what it was started with.
        planned: all stages.
        chosen: those that are to run.

    Raises:
        EnvironmentFailure: the folder cannot be written to.
    """
    numbers = attempt_numbers(directory)
    attempt = Attempt(
        number=numbers[-1] + 1 if numbers else 1,
        process=this_process(),
        command=tuple(sys.argv),
        stages=tuple(chosen),
        versions=versions(),
        started=round(time.time(), 3),
    )
    path = directory / ATTEMPTS / f"{attempt.number}.json"
    write_json(path, attempt.model_dump(mode="json"))
    code, error = 1, ""
    try:
        _write_launch(directory, launch)
        beats = Beats(directory, attempt.number, planned)
        try:
            yield beats
        finally:
            beats.last()
        code = 0
    except BaseException as ending:
        code, error = _ending(ending)
        raise
    finally:
        ended = attempt.model_copy(
            update={"ended": round(time.time(), 3), "exit_code": code, "error": hide(error)[:MAX_ERROR]}
        )
        with suppress(O1kitError):  # a full disk has been told of already, and must not hide what came before
            write_json(path, ended.model_dump(mode="json"))


def _write_launch(directory: Path, launch: Launch) -> None:
    """The paths and values in it are hidden; the keys of `--set` are names, which are read back."""
    sets = [f"{key}{equals}{hide(value)}" for key, equals, value in (text.partition("=") for text in launch.sets)]
    write_json(directory / LAUNCH, finite(launch.model_dump(mode="json")) | {"sets": sets}, clean=True)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what is computed."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _ending(ending: BaseException) -> tuple[int, str]:
    """Exit code and message of what ended a run."""
    if isinstance(ending, SystemExit):
        return (ending.code if isinstance(ending.code, int) else 1), ""
    if isinstance(ending, KeyboardInterrupt):
        return 130, ""
    code = ending.exit_code if isinstance(ending, O1kitError) else 1
    return code, f"{'' if isinstance(ending, O1kitError) else type(ending).__name__ + ': '}{ending}"
