"""`LikelihoodReward`: how probable a chain is to another language model than the one that wrote it."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from o1kit.errors import RewardFailure
from o1kit.functional.surprise import SCALE, surprise
from o1kit.protocols import ReadingEngine
from o1kit.rewards.base import RewardBase, account
from o1kit.rewards.chains import Chains
from o1kit.types import Score, State

FEATURES = ("least", "geometric_mean", "product")
"""Of the probabilities of a chain's tokens, in the order of `surprise`."""
KNOWN = 2**16
"""Beginnings of chains that are remembered, so that a tree pays for each of its steps once."""


class LikelihoodReward(RewardBase):
    """The least probability of a chain's tokens so far, or their geometric mean or product, under `engine`'s model.

    A stronger model's likelihood tells steps apart without any labels of steps; implicit process rewards (arXiv
    2412.01981) compare it with a second model's. A step's value does not depend on what follows.
    """

    name = "likelihood"

    def __init__(
        self, engine: ReadingEngine, chains: Chains, tokens: Literal["least", "geometric_mean", "product"] = "least"
    ) -> None:
        self.engine, self.chains, self.feature = engine, chains, FEATURES.index(tokens)
        self._known: dict[tuple[int, ...], tuple[float, ...]] = {}

    def refresh(self) -> None:
        """The model that is read may be one that is trained."""
        self._known.clear()
        self.engine.refresh()

    async def score(self, state: State) -> Score:
        """The value after the last step; 1 for a chain without steps, of which nothing is improbable yet."""
        return Score((await self.step_scores(state) or (1.0,))[-1], self.name)

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """The value after each step, in [0, 1].

        Raises:
            RewardFailure: the chain does not fit the model's context.
        """
        if not state.actions:
            return ()
        tokens, ends = self.chains.read(state)
        _, (last,) = self.chains.read(State(state.problem, state.prompt_ids))
        if len(tokens) > self.engine.context_length:
            raise RewardFailure(
                f"a chain has {len(tokens)} tokens for the model that reads it, and its context holds "
                f"{self.engine.context_length}"
            )
        logprobs = await self._logprobs(tokens, last + 1, ends, state)
        steps = (logprobs[a - last : b - last] for a, b in pairwise((last, *ends)))
        return tuple(features[self.feature] / SCALE for features in surprise(steps))

    async def _logprobs(
        self, tokens: tuple[int, ...], start: int, ends: tuple[int, ...], state: State
    ) -> tuple[float, ...]:
        """The log-probabilities of all tokens from `start` on; asked for from where none is remembered."""
        beginnings = [tokens[: end + 1] for end in ends]
        found = next((self._known[ids] for ids in reversed(beginnings) if ids in self._known), ())
        if start + len(found) < len(tokens):
            found += tuple(await self.engine.logprobs(tokens, start + len(found), account(state)))
            self._known.update((ids, found[: len(ids) - start]) for ids in beginnings)
            while len(self._known) > KNOWN:
                del self._known[next(iter(self._known))]
        return found
