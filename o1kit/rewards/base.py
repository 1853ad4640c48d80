"""What all rewards have in common: what they are called, what they judge, and whose ledger their tokens are in."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from o1kit.rewards.config import Level
from o1kit.types import Account, Score, State


def account(state: State) -> Account:
    """Whom the tokens of a judgement are charged to."""
    return Account(state.problem.id, "score")


def beginnings(state: State) -> list[State]:
    """The chain after each of its steps."""
    return [State(state.problem, state.prompt_ids, state.actions[:n]) for n in range(1, len(state.actions) + 1)]


class RewardBase:
    """A reward with what a stage has to know of it."""

    name: str = ""
    """Its kind, for tables, trees and journals."""
    level: Level = "step"
    """Whether it judges steps, or chains as a whole."""
    engine: Any = None
    """What its tokens are computed by; None where it costs none, or none of its own."""

    def refresh(self) -> None:
        """Forgets what depends on the policy's weights, which have changed."""


class ChainReward(RewardBase, ABC):
    """A reward that judges a chain as a whole, as far as it has come.

    With `level: outcome` each step of a chain is worth what the chain is: a product over steps would raise that to the
    power of their number. With `level: step` it is worth what the chain was after it.
    """

    level: Level = "outcome"

    @abstractmethod
    async def value(self, state: State) -> float:
        """What a chain is worth, in [0, 1].

        Raises:
            RewardFailure: it could not be judged.
        """

    async def score(self, state: State) -> Score:
        """What the chain so far is worth."""
        return Score(await self.value(state), self.name)

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """What the chain is worth at each step."""
        if self.level == "outcome":
            return (await self.value(state),) * len(state.actions)
        return tuple(await asyncio.gather(*map(self.value, beginnings(state))))
