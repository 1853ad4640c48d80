"""`Source` and `Scorer`: what a kind of problem must offer, and when its score counts as right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from o1kit.types import GroundTruth, Problem

RIGHT = 1.0
"""Only exactly full credit is right. A threshold below it lets wrong answers pass: reasoning_gym's `spell_backward`
gives 0.9999999999999999 to a right six-letter prefix followed by anything, `time_intervals` 0.99999 to a near miss."""


class Scorer(Protocol):
    """Judges answers. Workers import it by name, so it is a class (its methods static) or another importable object.

    With an attribute `confined = True` it is served by workers that can do nothing but import, compute and answer: no
    process, no network, no file written, and none read but what Python can import.
    """

    def prepare(self, truth: GroundTruth) -> None:
        """Loads what `score` needs, outside the time limit of an answer; cheap when done already."""
        ...

    def score(self, truth: GroundTruth, answer: str | None) -> float:
        """Credit in [0, 1]; exactly `RIGHT` for a right answer."""
        ...


class Source(Protocol):
    """Makes problems of one kind. Built from (config, base directory).

    Its answers are judged by its attribute `grader`, if it has one (see `graders.grader.Grader`), else by its class,
    which then is a `Scorer`.
    """

    name: str
    """Name of the kind of problem; part of every problem's id."""
    teacher: str | None
    """Registered name of the program that writes chains of thought; None when the data bring them, or nothing does."""

    def check(self) -> None:
        """Raises RecipeError or DataError when the source cannot work, before anything expensive starts."""
        ...

    def generate(self, seed: int, count: int) -> Iterator[tuple[Problem, GroundTruth]]:
        """At most `count` problems, repeats included; the same for the same seed, and a prefix of any longer run."""
        ...
