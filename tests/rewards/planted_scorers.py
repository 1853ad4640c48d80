"""Scorers that misbehave on the answer's own command; workers import them from here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from o1kit.tasks.config import JsonlConfig
from o1kit.types import GroundTruth, Problem


def _spin() -> float:
    while True:
        pass


def _swallow() -> float:
    """Cannot be interrupted by any Python exception."""
    while True:
        with suppress(BaseException):
            time.sleep(1)


def _ignore_alarm() -> float:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    time.sleep(60)
    return 1.0


def _child() -> float:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "o1kit-planted-child"])
    return _spin()


def _raise(error: BaseException) -> float:
    raise error


def _noisy() -> float:
    print("scorers may print", flush=True)
    os.write(1, b"noise" * 10_000)
    return 1.0


COMMANDS: dict[str, Callable[[], float]] = {
    "right": lambda: 1.0,
    "wrong": lambda: 0.25,
    "nearly": lambda: 0.9999999999999999,
    "over": lambda: 1.0000000000000002,
    "nan": lambda: float("nan"),
    "two": lambda: 2.0,
    "spin": _spin,
    "swallow": _swallow,
    "ignore_alarm": _ignore_alarm,
    "big_power": lambda: float(9 ** int("9") ** int("9")),
    "child": _child,
    "exit": lambda: os._exit(3),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV) or 0.0,
    "sys_exit": lambda: _raise(SystemExit(0)),
    "raise": lambda: _raise(ValueError("planted")),
    "memory": lambda: float(len(bytearray(8 * 2**30))),
    "noisy": _noisy,
    "has_torch": lambda: float("torch" in sys.modules),
}


class Planted:
    """A source whose scorer does what the answer says."""

    name, teacher = "planted", None

    def __init__(self, config: JsonlConfig, base_directory: Path) -> None:
        self.config = config

    def check(self) -> None:
        """Nothing to check."""

    def generate(self, seed: int, count: int) -> Iterator[tuple[Problem, GroundTruth]]:
        for i in range(count):
            yield Problem(f"planted/{i}", "planted", f"question {i}"), GroundTruth(f"planted/{i}", "right")

    @staticmethod
    def prepare(truth: GroundTruth) -> None:
        """Nothing to load."""

    @staticmethod
    def score(truth: GroundTruth, answer: str | None) -> float:
        return COMMANDS[str(answer)]()


def _refused(deed: Callable[[], object]) -> Callable[[], float]:
    def attempt() -> float:
        try:
            deed()
        except (OSError, RuntimeError):
            return 1.0
        return 0.0

    return attempt


FILE = Path(__file__)
DEEDS: dict[str, Callable[[], object]] = {
    "process": lambda: subprocess.Popen(["/bin/true"]),
    "fork": lambda: os.fork() or os._exit(0),
    "program": lambda: os.execv("/bin/true", ["true"]),
    "thread": lambda: threading.Thread(target=int).start(),
    "kill": lambda: os.kill(os.getppid(), 0),
    "network": socket.socket,
    "write": lambda: FILE.open("ab"),
    "create": lambda: FILE.with_name("o1kit-planted").open("wb"),
    "rename": lambda: FILE.rename(FILE),
}


class Confined(Planted):
    """Right where what the answer says is refused, and where it can do with what it has left."""

    confined = True

    @staticmethod
    def score(truth: GroundTruth, answer: str | None) -> float:
        more: dict[str, Callable[[], float]] = {name: _refused(deed) for name, deed in DEEDS.items()}
        more["foreign"] = _refused(lambda: Path("/etc/passwd").read_text())
        more["import"] = lambda: float(import_module("sqlite3").sqlite_version > "" and FILE.read_text() > "")
        more["environment"] = lambda: float("O1KIT_TEST_SECRET" not in os.environ and os.environ["PATH"] > "")
        return (COMMANDS | more)[str(answer)]()


class DiesWhilePreparing(Planted):
    """Ends the worker before any answer is judged, for the truth that says so."""

    @staticmethod
    def prepare(truth: GroundTruth) -> None:
        if truth.answer == "poison":
            os._exit(4)
