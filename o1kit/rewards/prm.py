"""Trained models that judge chains, behind the same door as a verifier: `PrmReward`, `OrmReward`, the value head."""

from __future__ import annotations

from itertools import accumulate

from o1kit.functional.preference import sigmoid
from o1kit.protocols import Engine
from o1kit.rewards.base import ChainReward, RewardBase, account
from o1kit.rewards.chains import Chains, read_at
from o1kit.types import Score, State


def step_ends(state: State) -> tuple[int, ...]:
    """Index of the last token of each step in `state.token_ids`: where the model is trained and where it is read."""
    lengths = (len(action.completion.token_ids) for action in state.actions)
    return tuple(end - 1 for end in accumulate(lengths, initial=len(state.prompt_ids)))[1:]


def value_ends(state: State) -> tuple[int, ...]:
    """Where the value head is read after each step: at the step's last token, the state before what follows.

    Nothing follows the last token of a finished chain, and PPO never trains the head there: it is read one earlier.
    """
    *inner, last = step_ends(state) or (len(state.prompt_ids) - 1,)
    return (*inner, max(last - 1, 0) if state.terminal else last)


class PrmReward(RewardBase):
    """The reward model's estimate that a chain will end in the right answer."""

    name = "prm"

    def __init__(self, engine: Engine, chains: Chains | None = None) -> None:
        self.engine, self.chains = engine, chains or Chains()

    async def score(self, state: State) -> Score:
        """The estimate after the last step (after the prompt for a chain without steps)."""
        tokens, positions = self.chains.read(state)
        (raw,) = await read_at(self.engine, tokens, positions[-1:], state)
        return Score(sigmoid(raw), self.name)

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """The estimate after each step."""
        if not state.actions:
            return ()
        return tuple(sigmoid(raw) for raw in await read_at(self.engine, *self.chains.read(state), state))


class OrmReward(ChainReward):
    """An outcome reward model's estimate that a chain is right, read where the chain ends."""

    name = "orm"

    def __init__(self, engine: Engine, chains: Chains | None = None) -> None:
        self.engine, self.chains = engine, chains or Chains()

    async def value(self, state: State) -> float:
        """The estimate after the last step."""
        tokens, positions = self.chains.read(state)
        (raw,) = await read_at(self.engine, tokens, positions[-1:], state)
        return sigmoid(raw)


class ValueHeadReward(RewardBase):
    """The policy's own value head, read by the engine that samples, where PPO trains it; held to [0, 1]."""

    name = "value_head"

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def score(self, state: State) -> Score:
        """The value of the state after its last step."""
        (raw,) = await self.engine.score(state.token_ids, value_ends(state)[-1:], account(state))
        return Score(min(max(raw, 0.0), 1.0), "value_head")

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """The value after each step."""
        return tuple(
            min(max(raw, 0.0), 1.0)
            for raw in await self.engine.score(state.token_ids, value_ends(state), account(state))
        )
