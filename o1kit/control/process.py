"""Which process is meant: a number alone is given to others once its process is gone."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from o1kit.errors import EnvironmentFailure

_PROC = Path("/proc")
_STATE, _START = 0, 19
"""Fields of /proc/<pid>/stat behind the name: state, and start in clock ticks since the machine started."""
POLL_S = 0.1


class Process(BaseModel):
    """A process for good: its number, when it started, and on which machine."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: Annotated[int, Field(lt=2**31)]
    start: str = ""
    """Clock ticks since the machine started; empty where the system does not tell."""
    machine: str = ""
    """Boot and namespace of processes in which the number counts."""
    host: str = ""

    @property
    def here(self) -> bool:
        """True when this process can be seen from here: same machine, same boot, same container."""
        return self.machine == machine()

    @property
    def alive(self) -> bool:
        """True while it runs here; another process that was given its number is not it, nor is a dead one's entry."""
        if not self.here or self.pid <= 0:
            return False
        if not self.start:
            return _exists(self.pid)
        return started(self.pid) == self.start

    @property
    def rebooted(self) -> bool:
        """True when its machine is this one, but has been started anew since."""
        return self.host == socket.gethostname() and self.machine.partition(" ")[0] != machine().partition(" ")[0]


def this_process() -> Process:
    """The process that calls."""
    pid = os.getpid()
    return Process(pid=pid, start=started(pid), machine=machine(), host=socket.gethostname())


def started(pid: int) -> str:
    """When a process started; empty if there is none, it is dead but not yet buried, or the system does not tell."""
    with suppress(OSError, IndexError):
        # The name in parentheses may hold anything, blanks and parentheses too.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if fields[_STATE] in ("Z", "X") else fields[_START]
    return ""


def machine() -> str:
    """Boot and namespace of processes: where and while a process number means the same."""
    boot, space = "", ""
    with suppress(OSError):
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError):
        space = os.readlink(_PROC / "self/ns/pid")
    return f"{boot} {space}".strip() or socket.gethostname()


def send(process: Process, number: signal.Signals) -> bool:
    """Sends a signal to exactly this process; False if it is gone.

    Raises:
        EnvironmentFailure: it belongs to someone else.
    """
    try:
        # A descriptor stays with its process: checked behind it, the number cannot have changed hands.
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        descriptor = -1
    try:
        if not process.alive:
            return False
        if descriptor >= 0:
            signal.pidfd_send_signal(descriptor, number)
        else:
            os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise EnvironmentFailure(
            f"process {process.pid} belongs to another user. Ask them, or use their account."
        ) from error
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return True


def wait_for_end(process: Process, seconds: float) -> bool:
    """Waits until the process has ended; False if it still runs after so many seconds."""
    end = time.monotonic() + seconds
    while process.alive:
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_S)
    return True


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
