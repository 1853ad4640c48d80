"""The process that judges answers: started by `ScoringPool`, killed by it or by its own timer. Imports no torch.

Requests arrive on a socket as pickles of `(seconds, [(scorer, truth, answer), ...])`. It answers `HELLO` once, then for
each request `READY` when everything is imported, and a JSON pair `[credit, error]` for each answer as it is judged.

A worker that is to be confined is so before the first answer, once what judges that is imported: it then reads what
Python can import, computes, and answers. What it needs later is imported all the same.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import resource
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from o1kit.tasks.graders.landlock import libraries
from o1kit.tasks.graders.syscalls import confine, missing

HELLO, READY = b"hello", b"ready"
MAX_ERROR = 300
"""Characters of an error's text that travel back."""


def serve(descriptor: int, memory_mb: int, confined: bool = False) -> None:
    """Judges answers until the other end of the socket closes; `confined` where the platform has what that needs."""
    connection: Any = Connection(descriptor)
    _limit(resource.RLIMIT_AS, memory_mb * 2**20)
    _limit(resource.RLIMIT_CORE, 0)
    _silence()
    connection.send_bytes(HELLO)
    while True:
        try:
            request = connection.recv_bytes()
        except (EOFError, OSError):
            return
        seconds, jobs = _load(request)
        if confined:
            _confine()
            confined = False
        connection.send_bytes(READY)
        for scorer, truth, answer in jobs:
            connection.send_bytes(_judge(scorer, truth, answer, seconds))


def _load(request: bytes) -> tuple[float, list[tuple[Any, Any, str]]]:
    """The request with all it needs imported: that time is not the answer's. A failure comes back when judging."""
    seconds, jobs = pickle.loads(request)
    for scorer, truth, _ in jobs:
        with suppress(Exception):
            scorer.prepare(truth)
    return seconds, jobs


def _confine() -> None:
    """From now on: no process, no program, no socket, no file written, and only what can be imported read."""
    if missing() is None:
        with suppress(OSError):  # of a kernel, or a container, that has it and does not let it be used
            confine(None, libraries(*(os.path.abspath(entry) for entry in sys.path)))


def _judge(scorer: Any, truth: Any, answer: str, seconds: float) -> bytes:
    """Credit or error as JSON. When the time is over, the system's timer ends the process, wherever it hangs.

    A confined process cannot change its limits any more, so that of processor time is left out: the timer does for it.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, math.ceil(spent.ru_utime + spent.ru_stime + seconds) + 1)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        reply: tuple[float | None, str | None] = (float(scorer.score(truth, answer)), None)
    except BaseException as error:  # SystemExit and MemoryError included: an answer never ends the worker in silence
        reply = (None, f"{type(error).__name__}: {error!s:.{MAX_ERROR}}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return json.dumps(reply).encode()


def _limit(kind: int, value: int) -> None:
    """Sets the soft limit of a resource, never above the hard one; a platform may refuse some kinds."""
    hard = resource.getrlimit(kind)[1]
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _silence() -> None:
    """Keeps what scorers print away from the terminal; errors before this point still reach it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)
