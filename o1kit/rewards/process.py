"""`WorkerProcess`: the pool's end of one worker (see `worker.py`)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple

from o1kit.errors import EnvironmentFailure
from o1kit.rewards.worker import HELLO, READY
from o1kit.tasks.graders.grader import WORKER

STARTUP_S = 60.0
"""Longest wait for a worker to start, or to import what a scorer needs, on a machine that is very busy."""
_BOOT = "import sys; from o1kit.rewards.worker import serve; serve(*map(int, sys.argv[1:]))"
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PATH", "PYTHONHOME", "TMPDIR", "TZ")
"""What a confined worker is told of the environment: how Python starts and reads texts."""


class Ended(NamedTuple):
    """How a worker ended while it judged an answer."""

    outcome: Literal["error", "timeout"]
    detail: str


Reply = Ended | list[Any]
"""`[credit, error]` from the worker, or how it ended."""
TIMEOUT = Ended("timeout", "the scorer did not return in time")


class WorkerProcess:
    """A fresh interpreter. Unlike a fork or `multiprocessing`'s spawn it gets no locks, no torch and no main module."""

    def __init__(self, memory_mb: int, confined: bool = False) -> None:
        self.confined = confined
        """Whether it can do nothing but judge, where the platform has what that needs."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ} if confined else os.environ
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT, str(theirs.fileno()), str(memory_mb), str(int(confined))],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={**kept, **_THREADS, "PYTHONPATH": path, WORKER: "1"},
                start_new_session=True,  # Ctrl-C is the run's affair; and a kill takes the worker's children along
            )
        self._connection: Any = Connection(ours.detach())
        self._lock = threading.Lock()
        self._greeted = self._killed = False
        self.answers = 0
        """How many it has judged."""

    @property
    def alive(self) -> bool:
        """True until the process has ended or was killed."""
        return not self._killed and self._process.poll() is None

    def ask(self, request: bytes, count: int, patience_s: float) -> Iterator[Reply]:
        """The replies of a request as they come; a worker that ends or hangs yields that as its last one.

        Yields nothing if it ends before it has read the request and imported what that needs.

        Raises:
            EnvironmentFailure: a fresh worker does not even start.
        """
        if not self._greeted:
            if self._receive(STARTUP_S) != HELLO:
                raise EnvironmentFailure(
                    f"a scoring worker did not start (exit status {self._process.poll()}); its error is printed above. "
                    f"Check that {sys.executable} can import o1kit, and the limits on processes and memory."
                )
            self._greeted = True
        with suppress(OSError):
            self._connection.send_bytes(request)
        if self._receive(STARTUP_S) != READY:
            return
        for _ in range(count):
            message = self._receive(patience_s)
            reply = _parse(message)
            yield reply if reply is not None else self._ending(message)
            if reply is None:
                return

    def kill(self) -> None:
        """Ends the process and its children, at once; safe to repeat."""
        with self._lock:
            if self._killed:
                return
            self._killed = True
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _receive(self, seconds: float) -> bytes | None:
        """The next message; empty when the worker has ended, None when the time is over."""
        try:
            return self._connection.recv_bytes() if self._connection.poll(seconds) else None
        except (EOFError, OSError):
            return b""

    def _ending(self, message: bytes | None) -> Ended:
        if message is None:
            return TIMEOUT
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        status = self._process.returncode
        if status in (-signal.SIGALRM, -signal.SIGXCPU):
            return TIMEOUT
        return Ended("error", f"the scorer ended its process (exit status {status})")


def _parse(message: bytes | None) -> list[Any] | None:
    """`[credit, error]`, or None when there is no such message."""
    try:
        reply = json.loads(message or b"")
    except ValueError:
        return None
    well_formed = isinstance(reply, list) and len(reply) == 2 and isinstance(reply[0], float | None)
    return reply if well_formed else None
