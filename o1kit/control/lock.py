"""The lock of a run's folder: one process works in it at a time; the system frees the lock when the process ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from o1kit.artifacts import disk_errors
from o1kit.errors import EnvironmentFailure

LOCK = ".lock"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keeps a second process out of the run's folder for as long as it is open.

    Raises:
        EnvironmentFailure: another process is in there, or the folder cannot be written to.
    """
    path = directory / LOCK
    with disk_errors(path):
        stream = path.open("a+")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise busy(directory) from error
        except OSError:  # a file system without locks
            pass
        yield


def free(directory: Path) -> bool:
    """True if no process works in the folder, as far as its lock tells; False also where there are no locks."""
    try:
        with (directory / LOCK).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:  # every start makes it
        return True
    except OSError:
        return False


def busy(directory: Path) -> EnvironmentFailure:
    """The error of a second run of one name."""
    return EnvironmentFailure(
        f"{directory}: another o1kit process works in this folder. Wait for it (o1kit status {directory}), stop it "
        f"(o1kit stop {directory}), or give the run another name."
    )
