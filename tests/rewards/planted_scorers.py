"""Scorers that misbehave on the answer's own command; workers import them from here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
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


class DiesWhilePreparing(Planted):
    """Ends the worker before any answer is judged, for the truth that says so."""

    @staticmethod
    def prepare(truth: GroundTruth) -> None:
        if truth.answer == "poison":
            os._exit(4)
