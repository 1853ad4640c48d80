"""Problems from reasoning_gym's generators, judged by their own scorers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from o1kit import registry
from o1kit.errors import EnvironmentFailure, RecipeError
from o1kit.tasks.config import ReasoningGymConfig
from o1kit.tasks.evaluated import guard
from o1kit.tasks.generators import RESERVED
from o1kit.types import GroundTruth, Problem

CHUNK = 2000
"""Problems a generator object is asked for. Problem i uses the random stream seed + i, so chunks step by this."""


@cache
def _reasoning_gym() -> Any:
    """The package, imported on first use: it takes a second that `o1kit validate` does not have."""
    try:
        gym = import_module("reasoning_gym")
    except ImportError as error:
        raise EnvironmentFailure(f"reasoning_gym cannot be imported: {error}. Install `reasoning_gym`.") from error
    guard()
    return gym


@cache
def _scorer(generator: str) -> Any:
    return _reasoning_gym().get_score_answer_fn(generator)


class ReasoningGymSource:
    """One generator with its options."""

    confined = True

    def __init__(self, config: ReasoningGymConfig, base_directory: Path | None = None) -> None:
        self.config = config
        self.name = config.generator
        teacher = config.teacher or config.generator
        self.teacher = teacher if config.teacher or teacher in registry.names("teachers") else None

    def check(self) -> None:
        """Raises RecipeError for an unknown generator, option or teacher, or options that the generator refuses."""
        teachers = registry.names("teachers")
        if self.teacher is not None and self.teacher not in teachers:
            raise RecipeError(f"unknown teacher {self.teacher!r}.{registry.suggestion(self.teacher, teachers)}")
        self._dataset(0)

    def generate(self, seed: int, count: int) -> Iterator[tuple[Problem, GroundTruth]]:
        """At most `count` problems with their truths; fewer when the generator runs out of material.

        The truth's payload is reasoning_gym's whole entry (question, answer, metadata) and the generator's name.

        Raises:
            RecipeError: unknown generator or option, or options that the generator refuses.
        """
        for start in range(0, count, CHUNK):
            dataset = self._dataset(seed + start)
            for index in range(min(CHUNK, count - start)):
                try:
                    entry = dataset[index]
                except IndexError:
                    break
                except Exception as error:
                    raise RecipeError(
                        f"{self.name} with the options {self.config.params} fails at problem {start + index}: {error!r}"
                    ) from error
                name = f"{self.name}/{start + index}"
                answer = "" if entry["answer"] is None else str(entry["answer"])
                payload = {**entry, "source": "reasoning_gym", "generator": self.name}
                yield Problem(name, self.name, entry["question"]), GroundTruth(name, answer, payload)

    def _dataset(self, seed: int) -> Any:
        gym = _reasoning_gym()
        generators = import_module("reasoning_gym.factory").DATASETS
        if self.name not in generators:
            raise RecipeError(f"unknown generator {self.name!r}.{registry.suggestion(self.name, sorted(generators))}")
        options = [f.name for f in fields(generators[self.name][1]) if f.name not in RESERVED]
        for option in self.config.params:
            if option in RESERVED:
                raise RecipeError(f"option {option!r} of {self.name} is set by o1kit: use `seed` and `num_problems`.")
            if option not in options:
                raise RecipeError(f"{self.name} has no option {option!r}.{registry.suggestion(option, options)}")
        try:
            return gym.create_dataset(self.name, seed=seed, size=CHUNK, **self.config.params)
        except Exception as error:  # a generator's own checks raise whatever they like: assertions, type errors, ...
            raise RecipeError(f"{self.name} refuses its options {self.config.params}: {error!r}") from error

    @classmethod
    def judged_by(cls) -> str:
        """The package whose scorers judge, with its version."""
        return f"reasoning_gym {version('reasoning-gym')}"

    @staticmethod
    def prepare(truth: GroundTruth) -> None:
        """Imports reasoning_gym and builds the scorer."""
        _scorer(str(truth.payload["generator"]))

    @staticmethod
    def score(truth: GroundTruth, answer: str | None) -> float:
        """Credit by the generator's own scorer, partial credit included."""
        return float(_scorer(str(truth.payload["generator"]))(answer, truth.payload))
