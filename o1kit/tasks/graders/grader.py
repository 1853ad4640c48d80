"""`Grader`: what every kind of grader offers."""

from __future__ import annotations

import os
from typing import Protocol

from o1kit import registry
from o1kit.tasks.graders.config import GraderConfig
from o1kit.types import GroundTruth

WORKER = "O1KIT_SCORING_WORKER"
"""Set in the environment of the processes that judge answers, and nowhere else."""


class Grader(Protocol):
    """Judges answers. A value that can be pickled: workers build it anew from its class and options.

    It may also have a method `alike(answer) -> Hashable`, cheap, safe for any text and the same for equal answers:
    they then vote together where a search counts votes. Without it answers vote by their text.
    """

    name: str
    """Name of its kind."""
    version: str
    """Changes whenever an answer may be judged differently, libraries and options included; part of every result."""

    def check(self) -> None:
        """Raises RecipeError or EnvironmentFailure when it cannot work on this machine."""
        ...

    def refuses(self, answer: str) -> str | None:
        """Why this cannot be a right answer (a text where a number is needed); None where it can."""
        ...

    def prepare(self, truth: GroundTruth) -> None:
        """Loads what `score` needs, outside the time limit of an answer; cheap when done already."""
        ...

    def score(self, truth: GroundTruth, answer: str | None) -> float:
        """Credit in [0, 1]; exactly 1 for a right answer."""
        ...


def build_grader(config: GraderConfig) -> Grader:
    """The grader that a section describes."""
    grader: Grader = registry.lookup("graders", config.kind)(config)
    return grader


def label(grader: Grader) -> str:
    """Name and version, as results record them."""
    return f"{grader.name} {grader.version}"


def only_in_workers(name: str) -> None:
    """Raises RuntimeError outside of the processes that may be killed: what follows handles text of a model."""
    if os.environ.get(WORKER) != "1":
        raise RuntimeError(f"the grader {name!r} runs in the scoring workers only: use a ScoringPool")
