"""The source of problems, which is its own verifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

from o1kit.errors import DataError
from o1kit.tasks.source import RIGHT
from o1kit.types import GroundTruth, Problem
from o1kit_countdown.config import CountdownConfig
from o1kit_countdown.game import Game, deal, value_of, written

TRIES = 2000
"""Ways of joining that are tried for one problem."""


class CountdownSource:
    """Games that can be won; problem i depends on the seed and i alone."""

    name = "countdown"
    teacher: str | None = "countdown_steps"

    def __init__(self, config: CountdownConfig, base_directory: Path | None = None) -> None:
        self.config = config

    def check(self) -> None:
        """Raises DataError where the options leave hardly any game that can be won."""
        next(self.generate(0, 1))

    def generate(self, seed: int, count: int) -> Iterator[tuple[Problem, GroundTruth]]:
        """`count` problems with their truths.

        Raises:
            DataError: no game was found that can be won.
        """
        for i in range(count):
            game = self._game(Random(f"{seed}:{i}"))
            name, numbers = f"{self.name}/{i}", ", ".join(map(str, game.numbers))
            payload = {"numbers": list(game.numbers), "target": game.target, "steps": [list(s) for s in game.steps]}
            prompt = f"Make {game.target} from the numbers {numbers}, each used once."
            yield Problem(name, self.name, prompt), GroundTruth(name, solution(game), payload)

    def _game(self, rng: Random) -> Game:
        config = self.config
        for _ in range(TRIES):
            game = deal(rng, config.num_numbers, config.max_number, config.max_target)
            if game is not None:
                return game
        raise DataError(f"countdown: no game was found that reaches 1 to {config.max_target}. Raise max_target.")

    @classmethod
    def judged_by(cls) -> str:
        """What results say of the verifier."""
        return "countdown 1"

    @staticmethod
    def prepare(truth: GroundTruth) -> None:
        """Nothing to load."""

    @staticmethod
    def score(truth: GroundTruth, answer: str | None) -> float:
        """RIGHT for an expression that uses each number once and hits the target, `= target` allowed; else 0."""
        expression, equals, stated = (answer or "").partition("=")
        target = cast(int, truth.payload["target"])
        found = value_of(expression) if not equals or stated.strip() == str(target) else None
        used = Counter(cast(Sequence[int], truth.payload["numbers"]))
        return RIGHT if found is not None and found == (target, used) else 0.0


def solution(game: Game) -> str:
    """The expression that the steps of a game amount to."""
    texts: list[Any] = list(map(str, game.numbers))
    for first, second, operation in game.steps:
        joined = written(operation, texts[first], texts[second])
        texts = [*(t for i, t in enumerate(texts) if i not in (first, second)), joined]
    return str(texts[0])
