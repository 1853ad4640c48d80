"""Sources of problems with one flaw each. A module of its own: worker processes import it to judge answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import create_model

from o1kit.tasks.config import SourceSection
from o1kit.types import GroundTruth, Problem


class Sums:
    """Sound problems, judged by the class itself."""

    name, teacher = "sums", None

    def __init__(self, config: Any, base_directory: Path | None = None) -> None:
        self.config = config

    def check(self) -> None:
        """Nothing can be wrong."""

    def numbers(self, seed: int, i: int, count: int) -> tuple[int, int]:
        rng = random.Random(f"{seed}:{i}")
        return rng.randrange(100), rng.randrange(100)

    def generate(self, seed: int, count: int) -> Iterator[tuple[Problem, GroundTruth]]:
        for i in range(count):
            a, b = self.numbers(seed, i, count)
            yield Problem(f"sums/{i}", self.name, f"{a}+{b}=?"), GroundTruth(self.truth_id(i), str(a + b))

    def truth_id(self, i: int) -> str:
        return f"sums/{i}"

    @staticmethod
    def prepare(truth: GroundTruth) -> None:
        """Nothing to load."""

    @staticmethod
    def score(truth: GroundTruth, answer: str | None) -> float:
        return float((answer or "").strip() == truth.answer)


class Strangers(Sums):
    """Truths of other problems."""

    def truth_id(self, i: int) -> str:
        return f"other/{i}"


class Unseeded(Sums):
    """Draws from the global generator."""

    def numbers(self, seed: int, i: int, count: int) -> tuple[int, int]:
        return random.randrange(100), random.randrange(100)


class Counted(Sums):
    """Problems depend on how many are made."""

    def numbers(self, seed: int, i: int, count: int) -> tuple[int, int]:
        return super().numbers(seed + count, i, count)


class Narrow(Sums):
    """There are three problems."""

    def numbers(self, seed: int, i: int, count: int) -> tuple[int, int]:
        return i % 3, 0


class Generous(Sums):
    """Every answer is right."""

    @staticmethod
    def score(truth: GroundTruth, answer: str | None) -> float:
        return 1.0


class Touchy(Sums):
    """Raises on what is no number."""

    @staticmethod
    def score(truth: GroundTruth, answer: str | None) -> float:
        return float(int(answer or "") == int(truth.answer))


class Mistaught(Sums):
    """Its teacher is wrong."""

    teacher = "wrong_teacher"


class WrongTeacher:
    phrases: tuple[str, ...] = ()

    def trace(self, truth: GroundTruth, prompt: str, mistakes: Any, seed: int) -> list[str]:
        return ["Let me see.\n", "The answer is 7000"]


def source_section(name: str) -> type[SourceSection]:
    return create_model(f"{name}Section", __base__=SourceSection, kind=(Literal[name], ...), __doc__="A source.")  # type: ignore[valid-type, call-overload, no-any-return]


TASKS: dict[str, tuple[Any, Any, str | None]] = {
    "strangers": (source_section("strangers"), Strangers, "well_formed"),
    "unseeded": (source_section("unseeded"), Unseeded, "same_seed_same_problems"),
    "counted": (source_section("counted"), Counted, "prefix"),
    "narrow": (source_section("narrow"), Narrow, "disjoint_splits"),
    "generous": (source_section("generous"), Generous, "scores"),
    "touchy": (source_section("touchy"), Touchy, "scores"),
    "mistaught": (source_section("mistaught"), Mistaught, "taught"),
}
