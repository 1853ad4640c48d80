"""`Watched`: a grader whose worker tells of all Python code that comes to be while it judges.

In a confined worker nothing that an executed answer does leaves a trace outside. So the interpreter itself is asked: an
audit hook (PEP 578) sees every text that is compiled, all code that is run by `eval` and `exec`, and every program that
is started, in the process where that would happen, whether it then succeeds or not. Each is written down at once, so
that it is there too when the worker is killed. Left out are the modules that libraries import meanwhile, and told apart
is the code that sympy makes of the number of an expression's variables.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from o1kit.types import GroundTruth

EVENTS = {"compile", "exec", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"}
EVENTS |= {"subprocess.Popen"}
MAX_CHARS = 200
_IMPORT = "<frozen importlib._bootstrap>"
_GENERATES = os.path.join("sympy", "polys", "monomials.py")
_file: int | None = None
_answer: str | None = None


class Seen(NamedTuple):
    """What a worker has told: what happened, to which code, and while which answer was judged."""

    event: str
    code: str
    answer: str
    generated: bool
    """Whether the code is of sympy's own making."""


class Watched:
    """A grader, and the file its workers write to; opened before a worker is confined, which keeps it."""

    confined = True

    def __init__(self, grader: Any, file: Path) -> None:
        self.grader, self.file = grader, str(file)
        self.name, self.version = grader.name, grader.version

    def prepare(self, truth: GroundTruth) -> None:
        """Imports what judges, and has the interpreter tell from now on."""
        global _file
        self.grader.prepare(truth)
        if _file is None:
            _file = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            sys.addaudithook(_hook)

    def score(self, truth: GroundTruth, answer: str | None) -> float:
        """What the grader says."""
        global _answer
        _answer = answer
        try:
            return float(self.grader.score(truth, answer))
        finally:
            _answer = None


class Careless:
    """What no grader may do: it executes the answer, in the way that the right answer names. For trying the watch."""

    name, version, confined = "careless", "1", True
    ways = ("eval", "exec", "compile", "os.system", "parse_expr", "sympify")

    def prepare(self, truth: GroundTruth) -> None:
        """Imports sympy."""
        import sympy  # noqa: F401

    def score(self, truth: GroundTruth, answer: str | None) -> float:
        """Does it."""
        import sympy

        ways: dict[str, Any] = {"eval": eval, "exec": exec, "os.system": os.system, "sympify": sympy.sympify}
        ways |= {"compile": lambda text: compile(text, "module.py", "exec"), "parse_expr": sympy.parse_expr}
        ways[truth.answer](answer)
        return 0.0


def seen(file: Path) -> list[Seen]:
    """What workers have told."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [Seen(**json.loads(line)) for line in lines]


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in EVENTS or _answer is None or _file is None:
        return
    frame: Any = sys._getframe(1)
    generated = frame.f_code.co_filename.endswith(_GENERATES)
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            return
        frame = frame.f_back
    line = Seen(event, f"{arguments!r:.{MAX_CHARS}}", f"{_answer:.{MAX_CHARS}}", generated)
    os.write(_file, json.dumps(line._asdict()).encode() + b"\n")
