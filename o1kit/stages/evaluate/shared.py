"""Samples and scores that several searches of one evaluation have in common are made once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from o1kit.decoding import Decoding
from o1kit.ledger import Reading, add_reading, reading
from o1kit.protocols import Policy, RankingReward, Span, StepReward
from o1kit.types import READING, Action, Problem, Score, State


class SharedSamples:
    """A policy that remembers complete samples from the root: sample i is the same whoever asks for it.

    A search that wants n of them gets the first n. Steps (`propose`) are passed through.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._samples: dict[tuple[Any, ...], list[State]] = {}
        self._named: dict[str, SharedSamples] = {}

    def start(self, problem: Problem) -> State:
        """The state before the first step."""
        return self.policy.start(problem)

    def answer(self, state: State) -> str | None:
        """The final answer of a chain."""
        return self.policy.answer(state)

    def text(self, token_ids: Sequence[int]) -> str:
        """What tokens say."""
        return self.policy.text(token_ids)

    async def propose(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), span: Span = Span()
    ) -> list[Action]:
        """`n` next steps."""
        return await self.policy.propose(state, n, key=key, decoding=decoding, span=span)

    async def complete(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), first: int = 0
    ) -> list[State]:
        """`n` finished chains from number `first` on; remembered ones are not sampled again."""
        name = (state.problem.id, state.token_ids, key, decoding)
        known = self._samples.get(name, [])
        missing = first + n - len(known)
        if missing > 0:
            more = await self.policy.complete(state, missing, key=key, decoding=decoding, first=len(known))
            known = self._samples[name] = known + more
        return known[first : first + n]

    def named(self, model: str) -> Policy:
        """The same with the model of another stage, whose samples are remembered too."""
        if not model:
            return self
        if model not in self._named:
            self._named[model] = SharedSamples(self.policy.named(model))
        return self._named[model]


class SharedScores:
    """A reward that remembers the step scores of finished chains, and what was read for them.

    Whoever asks for remembered ones has read as much as who was first.
    """

    def __init__(self, reward: StepReward) -> None:
        self.reward = reward
        self._scores: dict[tuple[Any, ...], tuple[Reading, asyncio.Future[tuple[float, ...]]]] = {}

    async def score(self, state: State) -> Score:
        """The score of a chain so far."""
        return await self.reward.score(state)

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """The score after each step."""
        # The same tokens may be cut into steps in several ways, and each has scores of its own.
        name = (state.token_ids, tuple(len(action.completion.token_ids) for action in state.actions))
        if name not in self._scores:
            with reading() as read:
                self._scores[name] = read, asyncio.get_running_loop().create_future()
                self._scores[name][1].set_result(await self.reward.step_scores(state))
        read, scores = self._scores[name]
        add_reading(read)
        return await scores


class SharedRanking(SharedScores):
    """The same for a reward that compares chains; comparisons are remembered too."""

    def __init__(self, reward: RankingReward) -> None:
        super().__init__(reward)
        self.ranking = reward
        self._preferred: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[Reading, asyncio.Task[float | None]]] = {}

    async def prefer(self, first: State, second: State) -> float | None:
        """The probability that the first chain is better."""
        name = first.token_ids, second.token_ids
        if name not in self._preferred:
            read = Reading()
            self._preferred[name] = read, asyncio.ensure_future(self._ask(first, second, read))
        read, preferred = self._preferred[name]
        add_reading(read)
        return await asyncio.shield(preferred)

    async def _ask(self, first: State, second: State, read: Reading) -> float | None:
        READING.set(read)  # in the task's own context
        return await self.ranking.prefer(first, second)


def remembered(reward: StepReward) -> SharedScores:
    """The reward with its judgements of finished chains remembered."""
    return SharedRanking(reward) if isinstance(reward, RankingReward) else SharedScores(reward)
