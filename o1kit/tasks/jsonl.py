"""Problems from a JSON-lines file, judged by comparing normalised answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from o1kit.errors import DataError
from o1kit.registry import suggestion
from o1kit.tasks.config import JsonlConfig
from o1kit.types import GroundTruth


def normalise(answer: str) -> str:
    """An answer without case, surrounding blanks, thousands separators, a leading $ or a trailing `.0`."""
    text = answer.strip().strip(".").replace(",", "").removeprefix("$").strip().casefold()
    whole, dot, fraction = text.partition(".")
    return whole if dot and whole.lstrip("-").isdigit() and set(fraction) == {"0"} else text


def score_jsonl(truth: GroundTruth, answer: str) -> bool:
    """True when both answers are the same once normalised."""
    return normalise(answer) == normalise(truth.answer)


class JsonlSource:
    """The rows of one file, each used once."""

    def __init__(self, config: JsonlConfig, base_directory: Path) -> None:
        self.config = config
        self.path = (base_directory / config.path).resolve()
        self.name = Path(config.path).stem
        self.teacher = None

    def generate(self, seed: int) -> Iterator[tuple[str, GroundTruth]]:
        """(prompt, ground truth) pairs in the order of the file.

        Raises:
            DataError: the file is missing, empty, not UTF-8 or a row lacks a field; the message names the line.
        """
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.path}: cannot be read: {error}. Check tasks.*.sources[].path.") from error
        rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        if not rows:
            raise DataError(f"{self.path}: holds no problems.")
        for number, line in rows:
            yield self._row(number, line)

    def _row(self, number: int, line: str) -> tuple[str, GroundTruth]:
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{self.path}:{number}:{error.colno}: not JSON: {error.msg}.") from error
        if not isinstance(row, dict):
            raise DataError(f"{self.path}:{number}: a row must be a JSON object.")
        question = self._field(row, self.config.question_field, number)
        answer = self._field(row, self.config.answer_field, number).rpartition("####")[2].strip()
        payload: dict[str, object] = {"source": "jsonl"}
        if self.config.thought_field is not None:
            payload["thought"] = self._field(row, self.config.thought_field, number).splitlines()
        return question, GroundTruth("", answer, payload)

    def _field(self, row: dict[str, Any], name: str, number: int) -> str:
        if name not in row:
            raise DataError(f"{self.path}:{number}: no field {name!r}.{suggestion(name, sorted(row))}")
        return str(row[name])
