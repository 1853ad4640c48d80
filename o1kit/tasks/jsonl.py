"""Problems from a JSON-lines file, judged by the grader that the recipe chooses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from o1kit.config import public
from o1kit.errors import DataError
from o1kit.registry import suggestion
from o1kit.tasks.config import JsonlConfig
from o1kit.tasks.graders.config import PythonConfig
from o1kit.tasks.graders.grader import build_grader
from o1kit.tasks.graders.python import STDIN
from o1kit.types import GroundTruth, Problem

MARK = "####"
"""What separates the working from the answer in GSM8K and files like it."""


class JsonlSource:
    """The rows of one file, in its order, each used once."""

    def __init__(self, config: JsonlConfig, base_directory: Path) -> None:
        self.config = config
        self.path = (base_directory / config.path).resolve()
        self.name = Path(str(public(config)["path"])).stem  # it is written beside every answer
        self.teacher: str | None = None
        self.grader = build_grader(config.grader)

    def check(self) -> None:
        """Raises DataError when the file or one of its rows is unusable, or what its grader raises."""
        self.grader.check()
        for _ in self._rows():
            pass

    def generate(self, seed: int, count: int) -> Iterator[tuple[Problem, GroundTruth]]:
        """The first `count` rows; the seed changes nothing.

        The truth's payload holds the chain of thought, a list of steps, under `thought` if the recipe names its field.

        Raises:
            DataError: the file is missing, empty, not UTF-8 or a row lacks a field; the message names the line.
        """
        yield from islice(self._rows(), count)

    def _rows(self) -> Iterator[tuple[Problem, GroundTruth]]:
        try:
            lines = self.path.read_bytes().split(b"\n")  # not splitlines: JSON strings may hold U+2028 as it is
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}. Check tasks.*.sources[].path.") from error
        rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        if not rows:
            raise DataError(f"{self.path}: holds no problems: give it one JSON object a line.")
        for number, line in rows:
            yield self._row(number, line)

    def _row(self, number: int, line: bytes) -> tuple[Problem, GroundTruth]:
        config, place = self.config, f"{self.path}:{number}"
        try:
            row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(f"{place}: not UTF-8 at byte {error.start + 1}. Save the file as UTF-8.") from error
        except json.JSONDecodeError as error:
            raise DataError(f"{place}:{error.colno}: not JSON: {error.msg}. Give one JSON object a line.") from error
        except ValueError as error:  # a number of thousands of digits
            raise DataError(f"{place}: not readable: {error}.") from error
        except RecursionError as error:
            raise DataError(f"{place}: nested too deeply.") from error
        if not isinstance(row, dict):
            raise DataError(f"{place}: a row must be a JSON object, not {type(row).__name__}.")
        question = _text(row, config.question_field, place)
        answer = _text(row, config.answer_field, place).rpartition(MARK)[2].strip()
        if not answer:
            raise DataError(f"{place}: nothing after the last {MARK} in field {config.answer_field!r}.")
        refusal = self.grader.refuses(answer)
        if refusal is not None:
            raise DataError(f"{place}: field {config.answer_field!r} holds {answer!r:.60}: {refusal}.")
        payload: dict[str, object] = {"source": "jsonl"}
        if isinstance(config.grader, PythonConfig) and config.grader.stdin_field is not None:
            payload[STDIN] = _text(row, config.grader.stdin_field, place)
        if config.thought_field is not None:
            payload["thought"] = _steps(row, config.thought_field, place)
        name = f"{self.name}/{number}"
        alike = getattr(self.grader, "alike", None)
        return Problem(name, self.name, question, alike), GroundTruth(name, answer, payload)


def _field(row: dict[str, Any], name: str, place: str) -> Any:
    if name not in row:
        raise DataError(f"{place}: no field {name!r}.{suggestion(name, sorted(row))}")
    return row[name]


def _text(row: dict[str, Any], name: str, place: str) -> str:
    value = _field(row, name, place)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise DataError(f"{place}: field {name!r} must be a text or a number that is not empty, not {value!r:.60}.")
    return _whole(str(value), name, place)


def _whole(text: str, name: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{place}: field {name!r} holds half a character (a lone surrogate). Repair it.") from error
    return text


def _steps(row: dict[str, Any], name: str, place: str) -> list[str]:
    """The steps of a chain of thought: a list of texts as it is, or the lines of a text before the answer's mark."""
    value = _field(row, name, place)
    lines = value.rpartition(MARK)[0 if MARK in value else 2].splitlines() if isinstance(value, str) else value
    if not isinstance(lines, list) or not all(isinstance(step, str) for step in lines):
        raise DataError(f"{place}: field {name!r} must be a text or a list of texts, not {value!r:.60}.")
    return [_whole(step, name, place) for step in lines if step.strip()]
