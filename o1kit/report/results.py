"""`Results`: what an evaluation measured, as typed rows, and its JSON file (`docs/results.md` explains every field)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from o1kit.artifacts import write_json
from o1kit.errors import DataError

FILE = "results.json"
FORMAT = 2
READABLE = (1, 2)
"""Formats that are read; the first knew rows and answers only."""


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
    seeds: int = 1
    """Runs that the figures are means of."""
    seed_std: float | None = None
    """Standard deviation of the accuracy from seed to seed; None for one seed."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further figures, for example accuracy by task."""

    @property
    def name(self) -> str:
        """What the row is called where people read it: it says `oracle` if the ground truth was used."""
        return f"{self.search} (oracle)" if self.oracle and "oracle" not in self.search else self.search


@dataclass(frozen=True, slots=True)
class Answer:
    """A question put to a policy, with the chain of thought it wrote."""

    question: str
    policy: str
    chain: str
    answer: str | None


@dataclass(frozen=True, slots=True)
class About:
    """What results come from: without it, two of them cannot be compared."""

    o1kit: str = ""
    """Version of o1kit."""
    recipe_hash: str = ""
    """Hash of all in the recipe that the stage was computed from."""
    stage: str = ""
    """Name of the stage; its folder holds the outputs."""
    seed: int | None = None
    """Seed of the stage."""
    seeds: int = 1
    """Seeds that every search ran with."""
    graders: Mapping[str, str] = field(default_factory=dict)
    """What judged the answers of each task, with its version."""
    judge: str = ""
    """The reward model that judged steps, if one did."""
    overrides: tuple[str, ...] = ()
    """What `o1kit score --set` changed in the recipe."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row against another on the same problems, both without the ground truth."""

    policy: str
    search: str
    split: str
    base_policy: str
    base_search: str
    difference: float
    """Mean over problems of the row's value minus the other's."""
    ci_low: float
    ci_high: float
    better: int
    """Problems on which the row is better."""
    worse: int
    p: float
    """Of the exact sign test, McNemar's for marks of 0 and 1."""
    p_adjusted: float
    """The same, corrected for all comparisons made (Holm)."""
    n: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """Problems of a split that are like training problems."""

    split: str
    against: str
    n: int
    exact: int
    """Problems whose text is that of a training problem."""
    normalised: int
    """Problems whose text is, but for case, blanks and sentence marks; exact ones included."""
    similar: int
    """Problems of whose n-grams at least `threshold` occur in training problems; those above included."""
    share: float
    """`similar` as a share of the problems."""
    ngram: int
    threshold: float
    ignored: int
    """N-grams of training problems that were left out, since they belong to a template."""
    examples: tuple[Mapping[str, Any], ...] = ()
    """The most similar problems, each with the training problem nearest to it."""


@dataclass(frozen=True, slots=True)
class Results:
    """The rows of a table, in its order, and the questions asked at the end."""

    run: str
    rows: tuple[ResultRow, ...]
    answers: tuple[Answer, ...] = ()
    about: About = About()
    comparisons: tuple[Comparison, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    reward: Mapping[str, Any] = field(default_factory=dict)
    """How well the judge predicts step labels, and what choosing by it gains; empty where that was not measured."""

    def find(self, policy: str, search: str, split: str) -> ResultRow | None:
        """The row of one cell of the table."""
        wanted = (policy, search, split)
        return next((row for row in self.rows if (row.policy, row.search, row.split) == wanted), None)


def write_results(path: Path, results: Results) -> None:
    """Writes results as JSON, atomically."""
    data = asdict(results)
    for row, written in zip(results.rows, data["rows"], strict=True):
        written["name"] = row.name
    write_json(path, {"format": FORMAT, **data})


def read_results(path: Path) -> Results:
    """The results in a JSON file.

    Raises:
        DataError: the file is missing, malformed or of another format.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] not in READABLE:
            known = " and ".join(map(str, READABLE))
            raise DataError(f"{path}: format {data['format']!r}, this version reads {known}. Run the recipe again.")
        about = data.get("about", {})
        return Results(
            data["run"],
            tuple(ResultRow(**{k: v for k, v in row.items() if k != "name"}) for row in data["rows"]),
            tuple(Answer(**answer) for answer in data.get("answers", ())),
            About(**about | {"overrides": tuple(about.get("overrides", ()))}),
            tuple(Comparison(**one) for one in data.get("comparisons", ())),
            tuple(Overlap(**one | {"examples": tuple(one["examples"])}) for one in data.get("overlaps", ())),
            data.get("reward", {}),
        )
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file. Give the folder of a run with an evaluation.") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: cannot read the results: {error}. Run the recipe's evaluate stage again.") from error
