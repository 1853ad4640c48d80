"""`PairwiseReward`: which of two chains is better (LLaMA-Berry, arXiv 2410.02884)."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from dataclasses import replace

from o1kit.decoding import Decoding
from o1kit.engines.policy import LanguagePolicy, PromptTemplate
from o1kit.functional.keys import derive
from o1kit.functional.pairwise_prompt import comparison_prompt
from o1kit.functional.preference import sigmoid, symmetrised
from o1kit.protocols import Engine, Policy
from o1kit.rewards.asking import problem_key
from o1kit.rewards.base import ChainReward
from o1kit.rewards.chains import Chains, read_at
from o1kit.rewards.config import PairwiseRewardConfig
from o1kit.search.journal import Journal
from o1kit.search.journaled import JournaledPolicy
from o1kit.types import READING, State


class PairwiseReward(ChainReward):
    """Compares chains of one problem."""

    name = "pairwise"

    @abstractmethod
    async def prefer(self, first: State, second: State) -> float | None:
        """P(first is better)."""


class HeadPairs(PairwiseReward):
    """Bradley and Terry's model on the number r that a head gives the end of a chain."""

    def __init__(self, engine: Engine, chains: Chains | None = None) -> None:
        self.engine, self.chains = engine, chains or Chains()
        self._read: dict[tuple[str, tuple[int, ...]], asyncio.Future[float]] = {}

    def refresh(self) -> None:
        """The chains that were read belong to the policy of before."""
        self._read.clear()

    async def value(self, state: State) -> float:
        """sigmoid(r): the probability to win against a chain whose number is 0."""
        return sigmoid(await self._number(state))

    async def prefer(self, first: State, second: State) -> float | None:
        """sigmoid(r_1 - r_2)."""
        one, other = await asyncio.gather(self._number(first), self._number(second))
        return sigmoid(one - other)

    async def _number(self, state: State) -> float:
        """r of a chain, which is read once however many others it is compared with."""
        name = state.problem.id, state.token_ids
        if name not in self._read:
            self._read[name] = asyncio.ensure_future(self.chains.last(self.engine, state))
        return await asyncio.shield(self._read[name])


class AskedPairs(PairwiseReward):
    """A model that is asked which chain is better, in both orders, read off its label tokens.

    Args:
        policy: samples the anchors; it has a ledger in common with `engine`.
    """

    def __init__(
        self, config: PairwiseRewardConfig, engine: Engine, template: PromptTemplate, policy: LanguagePolicy, seed: int
    ) -> None:
        self.config, self.engine, self.template, self.seed = config, engine, template, seed
        self._sampler = policy
        self.policy: Policy = policy
        self._anchors: dict[str, asyncio.Future[list[State]]] = {}

    def refresh(self) -> None:
        """Anchors are samples of the present policy."""
        self._sampler.engine.refresh()
        self._anchors.clear()

    def recorded(self, journal: Journal) -> None:
        """From now on anchors are recorded, so that a search that goes on compares with the same ones."""
        self.policy = JournaledPolicy(self._sampler, journal, "anchors")
        self._anchors.clear()

    async def value(self, state: State) -> float:
        """The mean probability to win against the anchors of the problem.

        Raises:
            RewardFailure: a comparison does not fit the model's context.
        """
        anchors = await self.anchors(state)
        won = await asyncio.gather(*(self.prefer(state, anchor) for anchor in anchors))
        return sum(won) / len(won)

    async def prefer(self, first: State, second: State) -> float:
        """(P(first > second) + 1 - P(second > first)) / 2."""
        forward, backward = await asyncio.gather(self._better(first, second), self._better(second, first))
        found = symmetrised(forward, backward)
        assert found is not None
        return found

    async def _better(self, first: State, second: State) -> float:
        problem = first.problem
        asked = replace(problem, prompt=comparison_prompt(problem.prompt, first.text, second.text))
        tokens = tuple(self.template.prompt(asked))
        (raw,) = await read_at(self.engine, tokens, (len(tokens) - 1,), first)
        return sigmoid(raw)

    async def anchors(self, state: State) -> list[State]:
        """The chains of a problem that others are compared with: a function of the problem, the seed and the policy."""
        name = state.problem.id
        if name not in self._anchors:
            self._anchors[name] = asyncio.ensure_future(self._sample(state))
        return await asyncio.shield(self._anchors[name])  # others wait for it too, so it outlives who began it

    async def _sample(self, state: State) -> list[State]:
        READING.set(None)  # in a task of its own: drawing anchors is no part of the judgement that comes first
        config, key = self.config, derive(problem_key(self.seed, state.problem), 1)
        root = self.policy.start(state.problem)
        return await self.policy.complete(root, config.anchors, key=key, decoding=Decoding(config.temperature))
