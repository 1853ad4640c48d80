"""`WatchedSteps`: a reward that tells whether it has looked at the ground truth, so that no row hides it."""

from __future__ import annotations

from o1kit.protocols import RankingReward, StepReward
from o1kit.types import Score, State


class WatchedSteps:
    """Passes everything on; `used` becomes True with the first judgement that is an oracle's.

    A score says so itself. Of step scores the reward says it, or what it wraps (`source`), by the attribute `oracle`.
    """

    def __init__(self, reward: StepReward, source: object = None) -> None:
        self.reward = reward
        self.used = False
        self.engine = getattr(reward, "engine", None)
        self._oracle = bool(getattr(reward, "oracle", False) or getattr(source, "oracle", False))

    async def score(self, state: State) -> Score:
        """The score of a chain so far."""
        score = await self.reward.score(state)
        self.used = self.used or score.oracle or self._oracle
        return score

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """The score after each step."""
        self.used = self.used or self._oracle
        return await self.reward.step_scores(state)


class WatchedRanking(WatchedSteps):
    """The same for a reward that compares chains."""

    def __init__(self, reward: RankingReward, source: object = None) -> None:
        super().__init__(reward, source)
        self.ranking = reward

    async def prefer(self, first: State, second: State) -> float | None:
        """The probability that the first chain is better."""
        self.used = self.used or self._oracle
        return await self.ranking.prefer(first, second)


def watched_reward(reward: StepReward, source: object = None) -> WatchedSteps:
    """The reward, watched; `source` is what it wraps."""
    return WatchedRanking(reward, source) if isinstance(reward, RankingReward) else WatchedSteps(reward, source)
