"""`NumericGrader`: both answers are numbers of the same value, within tolerances."""

from __future__ import annotations

from collections.abc import Hashable
from fractions import Fraction
from functools import lru_cache

from o1kit.functional.answers import find_answer
from o1kit.tasks.graders.config import NumericConfig
from o1kit.tasks.graders.numbers import Value, find_number, other_unit, same_value
from o1kit.types import GroundTruth


class NumericGrader:
    """Compares exact fractions; see `numbers` for what is a number."""

    name = "numeric"
    confined = True

    def __init__(self, config: NumericConfig) -> None:
        self.config = config
        self.version = f"3 (absolute {config.absolute:g}, relative {config.relative:g})"

    def check(self) -> None:
        """It works everywhere."""

    def refuses(self, answer: str) -> str | None:
        """A right answer must be a number."""
        return None if _number(answer) is not None else "it is no number; use the grader `exact` or `math`"

    def prepare(self, truth: GroundTruth) -> None:
        """Nothing to load."""

    def alike(self, answer: str) -> Hashable:
        """The value of a number, by which it votes; tolerances aside, and a percent sign is kept."""
        return number_of(answer)

    def score(self, truth: GroundTruth, answer: str | None) -> float:
        """1 when |answer - truth| <= max(absolute, relative * |truth|), else 0.

        Raises:
            ValueError: the right answer is no number.
        """
        right = _number(truth.answer)
        if right is None:
            raise ValueError("the right answer is no number")
        given = _number(answer) if answer is not None else None
        if given is None:
            return 0.0
        relative = Fraction(self.config.relative) * abs(right.number)
        same = same_value(given, right, max(Fraction(self.config.absolute), relative))
        return float(same and not other_unit(answer or "", truth.answer))


@lru_cache(maxsize=4096)
def number_of(answer: str) -> Hashable:
    """The value of an answer and whether it is in percent; the text of one that is no number."""
    found = _number(answer)
    return answer if found is None else (found.number, found.percent)


def _number(answer: str) -> Value | None:
    return find_number(find_answer(answer, "final") or answer)
