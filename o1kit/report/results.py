"""`Results`: what an evaluation measured, as typed rows, and its JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from o1kit.artifacts import write_json
from o1kit.errors import DataError

FILE = "results.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class ResultRow:
    """Accuracy of one policy with one search on one split, with its 95 % interval and the tokens it took."""

    policy: str
    search: str
    split: str
    accuracy: float
    ci_low: float
    ci_high: float
    n: int
    tokens_per_problem: float
    oracle: bool = False
    """True when the search itself used the ground truth: an upper bound, not a result."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further figures, for example accuracy by task."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A question put to a policy, with the chain of thought it wrote."""

    question: str
    policy: str
    chain: str
    answer: str | None


@dataclass(frozen=True, slots=True)
class Results:
    """The rows of a table, in its order, and the questions asked at the end."""

    run: str
    rows: tuple[ResultRow, ...]
    answers: tuple[Answer, ...] = ()

    def find(self, policy: str, search: str, split: str) -> ResultRow | None:
        """The row of one cell of the table."""
        wanted = (policy, search, split)
        return next((row for row in self.rows if (row.policy, row.search, row.split) == wanted), None)


def write_results(path: Path, results: Results) -> None:
    """Writes results as JSON, atomically."""
    write_json(path, {"format": FORMAT, **asdict(results)})


def read_results(path: Path) -> Results:
    """The results in a JSON file.

    Raises:
        DataError: the file is missing, malformed or of another format.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise DataError(f"{path}: format {data['format']!r}, this version reads {FORMAT}. Run the recipe again.")
        rows = tuple(ResultRow(**row) for row in data["rows"])
        return Results(data["run"], rows, tuple(Answer(**answer) for answer in data.get("answers", ())))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot read the results: {error}. Run the recipe's evaluate stage again.") from error
