"""`ExactGrader`: both answers are the same text once normalised."""

from __future__ import annotations

import re

from o1kit.tasks.graders.config import ExactConfig
from o1kit.types import GroundTruth

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ZERO_FRACTION = re.compile(r"([+-]?\d+)\.0*")


def normalise(answer: str) -> str:
    """An answer without case, outer blanks, final full stop, leading $, thousands separators or a trailing `.0`."""
    text = answer.strip().removesuffix(".").removeprefix("$").strip().casefold()
    text = _THOUSANDS.sub("", text)
    whole = _ZERO_FRACTION.fullmatch(text)
    return whole.group(1) if whole else text


class ExactGrader:
    """Compares normalised texts."""

    name, version = "exact", "1"
    confined = True

    def __init__(self, config: ExactConfig) -> None:
        self.config = config

    def check(self) -> None:
        """It works everywhere."""

    def refuses(self, answer: str) -> str | None:
        """Every text is an answer."""
        return None

    def prepare(self, truth: GroundTruth) -> None:
        """Nothing to load."""

    def score(self, truth: GroundTruth, answer: str | None) -> float:
        """1 when both answers are the same once normalised, else 0."""
        return float(answer is not None and normalise(answer) == normalise(truth.answer))
