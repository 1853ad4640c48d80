"""`PythonGrader`: the answer is a program, and right if it prints what is expected."""

from __future__ import annotations

import platform

from o1kit.errors import EnvironmentFailure
from o1kit.functional.answers import find_answer
from o1kit.tasks.graders.config import PythonConfig
from o1kit.tasks.graders.grader import only_in_workers
from o1kit.tasks.graders.landlock import hides_files
from o1kit.tasks.graders.program import Limits, run_program
from o1kit.tasks.graders.syscalls import hide_memory, missing
from o1kit.types import GroundTruth

STDIN = "stdin"
"""Key of the truth's payload that holds what the program reads."""


class PythonGrader:
    """Runs the last fenced block of the answer, or all of it; see `program` for what it may do."""

    name = "python"

    def __init__(self, config: PythonConfig) -> None:
        self.config = config
        self.limits = Limits(config.timeout_s, config.memory_mb, config.output_kb)
        python = f"{platform.python_implementation()} {platform.python_version()}"
        files = "hidden" if hides_files() else "readable"
        limits = f"{config.timeout_s:g} s, {config.memory_mb} MB, {config.output_kb} kB"
        self.version = f"1 ({python}, {limits}, files {files})"

    def check(self) -> None:
        """Raises EnvironmentFailure where programs cannot be confined."""
        reason = missing()
        if reason is not None:
            raise EnvironmentFailure(f"the grader `python` cannot confine programs: {reason}. Use another grader.")

    def refuses(self, answer: str) -> str | None:
        """Every text can be printed."""
        return None

    def prepare(self, truth: GroundTruth) -> None:
        """The worker knows the right answers, and the program must not read them there."""
        only_in_workers(self.name)
        hide_memory()

    def score(self, truth: GroundTruth, answer: str | None) -> float:
        """1 when the program ends by itself, with status 0, and prints the right answer; else 0.

        Blanks at the ends of lines, and at both ends of the text, do not count.

        Raises:
            OSError: the process cannot be started or confined.
        """
        only_in_workers(self.name)
        code = find_answer(answer, "code") if answer is not None else None
        if code is None:
            return 0.0
        given = truth.payload.get(STDIN)
        ran = run_program(code, given if isinstance(given, str) else "", self.limits)
        return float(ran.end == "done" and _lines(ran.output.decode(errors="replace")) == _lines(truth.answer))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().split("\n")]
