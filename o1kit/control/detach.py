"""`detach`: starts a run that outlives the terminal, and waits until it has really begun."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from o1kit.artifacts import disk_errors
from o1kit.control.process import POLL_S
from o1kit.control.records import ATTEMPTS, Attempt, attempt_numbers, read_record
from o1kit.functional.printable import printable

LOG = "run.log"
BEGIN_S = 120.0
"""How long a slow machine may take until the run has begun."""
TAIL = 4000


class Detached(NamedTuple):
    """What became of a start."""

    pid: int
    log: Path
    exit_code: int | None
    """None while it runs."""
    output: str
    """What it has printed, if it has ended already."""


def detach(arguments: Sequence[str], directory: Path) -> Detached:
    """Starts `o1kit ARGUMENTS` in a session of its own, its output appended to `run.log` in the run's folder.

    Raises:
        EnvironmentFailure: the log cannot be written.
    """
    log, before = directory / LOG, attempt_numbers(directory)
    with disk_errors(log):
        directory.mkdir(parents=True, exist_ok=True)
        stream = log.open("ab")
    with stream:
        begin = stream.tell()
        # -P: the current folder is no place to import from.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "o1kit", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    end = time.monotonic() + BEGIN_S
    while process.poll() is None and not _begun(directory, before, process.pid) and time.monotonic() < end:
        time.sleep(POLL_S)
    code = process.poll()
    return Detached(process.pid, log, code, _tail(log, begin) if code is not None else "")


def _begun(directory: Path, before: Sequence[int], pid: int) -> bool:
    """Whether this process has recorded its start; another one may have been faster."""
    attempts = (
        read_record(directory / ATTEMPTS / f"{n}.json", Attempt) for n in attempt_numbers(directory) if n not in before
    )
    return any(attempt is not None and attempt.process.pid == pid for attempt in attempts)


def _tail(log: Path, begin: int) -> str:
    """The end of what was printed since."""
    with disk_errors(log), log.open("rb") as stream:
        stream.seek(max(begin, log.stat().st_size - TAIL))
        return printable(stream.read(TAIL).decode(errors="replace"))
