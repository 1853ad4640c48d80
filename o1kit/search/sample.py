"""The searches that do not search: the most probable chain, and independent samples."""

from __future__ import annotations

from o1kit.protocols import Decoding, Policy, StepReward
from o1kit.search.config import GreedyConfig, SampleConfig
from o1kit.types import SearchResult, State, Trajectory, Usage


class Greedy:
    """One chain of most probable tokens."""

    def __init__(self, config: GreedyConfig) -> None:
        self.config = config

    async def run(self, root: State, *, policy: Policy, reward: StepReward | None, key: int) -> SearchResult:
        """The chain and its answer."""
        return independent(await policy.complete(root, 1, key=key, decoding=Decoding(greedy=True)), root, policy)


class Sample:
    """Independent samples, every answer judged."""

    def __init__(self, config: SampleConfig) -> None:
        self.config = config

    async def run(self, root: State, *, policy: Policy, reward: StepReward | None, key: int) -> SearchResult:
        """The samples and all their answers."""
        states = await policy.complete(root, self.config.num_samples, key=key, decoding=self.config.decoding)
        return independent(states, root, policy)


def independent(states: list[State], root: State, policy: Policy) -> SearchResult:
    """A result that judges each of the chains on its own."""
    trajectories = tuple(Trajectory(state, policy.answer(state)) for state in states)
    return SearchResult(trajectories, tuple(t.answer for t in trajectories), generated(states, root))


def generated(states: list[State], root: State) -> Usage:
    """The tokens of chains that were all sampled from the root."""
    return Usage(
        prompt=len(root.token_ids), generated=sum(len(state.token_ids) - len(root.token_ids) for state in states)
    )
