"""Problems from reasoning_gym's generators, judged by their own scorers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from typing import Any

from o1kit.errors import RecipeError
from o1kit.registry import names, suggestion
from o1kit.tasks.config import ReasoningGymConfig
from o1kit.types import GroundTruth, Problem

CHUNK = 2000
RIGHT = 0.99
"""A score from here on is full credit; less is wrong, since some scorers give marks for trying."""


@cache
def _scorer(generator: str) -> Any:
    import reasoning_gym

    return reasoning_gym.get_score_answer_fn(generator)


def score_gym(truth: GroundTruth, answer: str) -> bool:
    """True when the generator's own scorer gives full credit."""
    entry = truth.payload
    metadata = entry["metadata"]
    assert isinstance(metadata, dict)
    return float(_scorer(str(metadata["source_dataset"]))(answer, entry)) >= RIGHT


class ReasoningGymSource:
    """One generator with its options."""

    def __init__(self, config: ReasoningGymConfig) -> None:
        self.config = config
        teacher = config.teacher or config.generator
        self.name = config.generator
        self.teacher = teacher if teacher in names("teachers") else None

    def generate(self, seed: int) -> Iterator[tuple[str, GroundTruth]]:
        """Endless (prompt, ground truth) pairs; the same for the same seed.

        reasoning_gym draws problem i of a dataset from `seed + i`, so the next chunk's seed is a whole chunk further.
        """
        chunk = 0
        while True:
            dataset = self._dataset(seed + chunk * CHUNK, CHUNK)
            for i in range(CHUNK):
                entry = dataset[i]
                yield entry["question"], GroundTruth("", str(entry["answer"]), entry)
            chunk += 1

    def _dataset(self, seed: int, size: int) -> Any:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS

        if self.config.generator not in DATASETS:
            raise RecipeError(
                f"unknown generator {self.config.generator!r}.{suggestion(self.config.generator, sorted(DATASETS))}"
            )
        options = [f.name for f in fields(DATASETS[self.config.generator][1]) if f.name not in ("seed", "size")]
        for name in self.config.params:
            if name not in options:
                raise RecipeError(f"{self.config.generator} has no option {name!r}.{suggestion(name, options)}")
        try:
            return reasoning_gym.create_dataset(
                self.config.generator, seed=seed % 2**31, size=size, **self.config.params
            )
        except (AssertionError, TypeError, ValueError) as error:
            raise RecipeError(f"{self.config.generator} refuses its options {self.config.params}: {error}") from error


def problem(split: str, source: str, index: int, prompt: str) -> Problem:
    """A problem with its id."""
    return Problem(f"{split}/{source}/{index}", source, prompt)
