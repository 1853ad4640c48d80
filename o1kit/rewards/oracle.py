"""`OracleReward`: the verifier as a judge of chains, for upper bounds and ablations; whatever uses it says `oracle`."""

from __future__ import annotations

from o1kit.rewards.base import ChainReward
from o1kit.rewards.verifier import Verifier
from o1kit.types import Score, State

UNKNOWN = 0.5
"""What a chain is worth that has not ended: the verifier judges final answers only."""


class OracleReward(ChainReward):
    """1 for a finished chain with the right answer, 0 for any other finished one."""

    name = "verifier"
    oracle = True

    def __init__(self, verifier: Verifier) -> None:
        self.verifier = verifier

    async def value(self, state: State) -> float:
        """The verdict."""
        return (await self.verifier.score(state)).value if state.terminal else UNKNOWN

    async def score(self, state: State) -> Score:
        """The verdict, which says that the ground truth was used."""
        return Score(await self.value(state), self.name, oracle=True)
