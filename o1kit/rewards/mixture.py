"""`MixtureReward`: the weighted mean of several rewards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from o1kit.errors import RewardFailure
from o1kit.rewards.base import RewardBase
from o1kit.rewards.config import Level
from o1kit.types import Score, State


class MixtureReward(RewardBase):
    """sum_i w_i s_i / sum_i w_i, which lies in [0, 1]; a part that fails makes the whole judgement fail.

    It judges steps if any of its parts does.
    """

    name = "mixture"

    def __init__(self, parts: Sequence[Any], weights: Sequence[float], level: Level | None = None) -> None:
        self.parts, self.weights = tuple(parts), tuple(weights)
        self.level = level or ("step" if any(part.level == "step" for part in parts) else "outcome")

    @property
    def oracle(self) -> bool:
        """True when one of the parts knows the ground truth."""
        return any(getattr(part, "oracle", False) for part in self.parts)

    def of(self, parts: Sequence[Any]) -> MixtureReward:
        """The same mixture with something put around its parts."""
        return MixtureReward(parts, self.weights, self.level)

    def refresh(self) -> None:
        """All parts."""
        for part in self.parts:
            part.refresh()

    async def score(self, state: State) -> Score:
        """The mean of the parts' scores."""
        scores = await asyncio.gather(*(part.score(state) for part in self.parts))
        for score in scores:
            if score.outcome in ("error", "timeout"):
                raise RewardFailure(f"a part of the mixture could not judge: {score.source}", score.outcome)
        return Score(self._mean([score.value for score in scores]), self.name)

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """The mean of the parts' scores at each step.

        Raises:
            RewardFailure: a part failed.
        """
        lines = await asyncio.gather(*(part.step_scores(state) for part in self.parts))
        if any(len(line) != len(state.actions) for line in lines):
            raise RewardFailure("a part of the mixture has not judged every step")
        return tuple(self._mean(at) for at in zip(*lines, strict=True))

    def _mean(self, values: Sequence[float]) -> float:
        weighed = sum(weight * value for weight, value in zip(self.weights, values, strict=True))
        return weighed / sum(self.weights)
