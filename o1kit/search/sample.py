"""The searches that do not search: the most probable chain, and independent samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from o1kit.decoding import Decoding
from o1kit.functional.diversity import self_bleu
from o1kit.protocols import Policy, StepReward
from o1kit.search.answers import voices
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
        most = self.config.num_samples
        result = independent(await policy.complete(root, most, key=key, decoding=self.config.decoding), root, policy)
        return replace(result, stats=spread(result.trajectories, most))


def independent(states: list[State], root: State, policy: Policy) -> SearchResult:
    """A result that judges each of the chains on its own."""
    trajectories = tuple(Trajectory(state, policy.answer(state)) for state in states)
    return SearchResult(trajectories, tuple(t.answer for t in trajectories), generated(states, root))


def spread(found: Sequence[Trajectory], most: int) -> dict[str, float]:
    """How different samples are, of which at most so many were wanted; nothing is told of a lone sample.

    `samples`: how many were drawn; `distinct_answers`: how many different ones they gave; `self_bleu`: how alike their
    tokens are, from 0 to 1 (see `functional.diversity`), where there are two or more.
    """
    if most < 2:
        return {}
    answers = {*voices(found)} - {None}
    stats = {"samples": float(len(found)), "distinct_answers": float(len(answers))}
    if len(found) > 1:
        stats["self_bleu"] = self_bleu([t.state.token_ids[len(t.state.prompt_ids) :] for t in found])
    return stats


def generated(states: list[State], root: State) -> Usage:
    """The tokens of chains that were all sampled from the root."""
    return Usage(
        prompt=len(root.token_ids), generated=sum(len(state.token_ids) - len(root.token_ids) for state in states)
    )
