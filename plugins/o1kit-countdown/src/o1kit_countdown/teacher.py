"""Chains of thought for the game: numbers are joined until one is left; a mistake takes another operation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any, cast

from o1kit.tasks.teachers.chain import ANSWER, PHRASES, Mistake, write_chain
from o1kit.types import GroundTruth
from o1kit_countdown.game import OPERATIONS, join, written


class CountdownTeacher:
    """`5*2=10, left 3, 10`, then `3+10=13`; a step in a direction that leads nowhere is given up with `wait`."""

    phrases = (*PHRASES, "Make ", " from the numbers ", ", each used once.", ", left ")

    def trace(self, truth: GroundTruth, prompt: str, mistakes: Sequence[Mistake], seed: int) -> list[str]:
        """One step a pair of numbers, then the expression."""
        steps = cast(Sequence[Sequence[Any]], truth.payload["steps"])
        start = [(number, str(number)) for number in cast(Sequence[int], truth.payload["numbers"])]

        def write(i: int, state: str, rng: Random | None) -> tuple[str, str]:
            first, second, operation = steps[i]
            values = json.loads(state)
            (a, one), (b, other) = values[first], values[second]
            result = join(operation, a, b)
            if rng is not None or result is None:
                operation, result = _else(rng or Random(seed), operation, a, b)
            rest = [v for j, v in enumerate(values) if j not in (first, second)]
            left = [*rest, (result, written(operation, one, other))]
            shown = f", left {', '.join(str(value) for value, _ in left)}" if rest else ""
            return f"{a}{operation}{b}={result}{shown}", json.dumps(left)

        lines, end = write_chain(len(steps), json.dumps(start), write, mistakes, seed)
        ((_, expression),) = json.loads(end)
        return [*lines, ANSWER + expression]


def _else(rng: Random, operation: str, a: int, b: int) -> tuple[str, int]:
    """Another operation on the same numbers, and what it gives."""
    results = [(other, join(other, a, b)) for other in OPERATIONS if other != operation]
    return rng.choice([(other, result) for other, result in results if result is not None])
