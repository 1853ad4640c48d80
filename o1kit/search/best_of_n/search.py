"""Best-of-N: independent samples, one answer.

    until N are drawn, the rest can be spared or the budget is spent:  sample a round -> judge it
    choose one answer

Nothing here sees the ground truth: whether the rest can be spared is read off the answers, and the reward's scores.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from o1kit.functional.aggregation import aggregate
from o1kit.functional.stopping import agreement, best_is_settled, lead_probability, score_is_reached, vote_is_settled
from o1kit.functional.voting import best, majority_vote, weighted_vote
from o1kit.protocols import Policy, RankingReward, StepReward
from o1kit.search.answers import voices
from o1kit.search.best_of_n.config import CertainConfig, PosteriorConfig, ThresholdConfig, WindowConfig
from o1kit.search.best_of_n.variants import draw, variants
from o1kit.search.config import BestOfNConfig
from o1kit.search.ranking import borda_values
from o1kit.search.sample import spread
from o1kit.types import SearchResult, State, Trajectory, Usage


class BestOfN:
    """N samples; the answer by majority, of the best chain, or by a vote that the reward weights."""

    def __init__(self, config: BestOfNConfig) -> None:
        self.config = config

    async def run(self, root: State, *, policy: Policy, reward: StepReward | None, key: int) -> SearchResult:
        """The samples, and the one answer chosen from them."""
        config = self.config
        judge = reward if config.judge is not None else None
        if judge is None and config.judge is not None:
            raise ValueError(f"`select: {config.select}` needs a reward that judges steps")
        if config.adaptive is not None and isinstance(judge, RankingReward):
            raise ValueError("places among samples are known when all are drawn: leave `adaptive` out")
        ways = variants(config, root, policy, key)
        found: list[Trajectory] = []
        generated, (size, later) = 0, config.rounds
        settled = spent = False
        while (left := config.num_samples - len(found)) and not (settled or spent):
            states = await draw(ways, len(found), min(size, left))
            scorer = None if isinstance(judge, RankingReward) else judge
            found += await asyncio.gather(*(_judged(state, root, policy, scorer, config) for state in states))
            generated += sum(_length(state, root) for state in states)
            settled = enough(config, found)
            spent = config.token_budget is not None and generated >= config.token_budget
            size = later
        if isinstance(judge, RankingReward):
            found = await _ranked(found, root, judge)
        read = {(id(way.policy), way.root.token_ids) for way in ways[: len(found)]}
        usage = Usage(prompt=sum(len(tokens) for _, tokens in read), generated=generated)
        usage += Usage(scored=generated if judge is not None else 0)
        stats = spread(found, config.num_samples) | _reasons(config, left > 0 and settled, left > 0 and spent)
        return SearchResult(tuple(found), (choose(found, config.select),), usage, stats=stats)


async def _judged(
    state: State, root: State, policy: Policy, judge: StepReward | None, config: BestOfNConfig
) -> Trajectory:
    """A sample with its answer and, if there is a judge, its scores."""
    if judge is None:
        return Trajectory(state, policy.answer(state))
    # The reward model has learned from chains after the problem's own prompt, and judges what it is about, not how it
    # was asked: it reads every chain after that prompt, so that scores of differently prompted ones can be compared.
    scores = await judge.step_scores(State(root.problem, root.prompt_ids, state.actions))
    return Trajectory(state, policy.answer(state), aggregate(config.aggregate, scores), scores)


async def _ranked(found: Sequence[Trajectory], root: State, judge: RankingReward) -> list[Trajectory]:
    """The samples with their places among one another as scores, read after the problem's own prompt."""
    states = [State(root.problem, root.prompt_ids, t.state.actions) for t in found]
    return [replace(t, score=value) for t, value in zip(found, await borda_values(judge, states), strict=True)]


def _length(state: State, root: State) -> int:
    """Tokens that were sampled after the root."""
    return sum(len(action.completion.token_ids) for action in state.actions[len(root.actions) :])


def enough(config: BestOfNConfig, found: Sequence[Trajectory]) -> bool:
    """True when the rule of the section finds that the samples left can be spared. Unjudged samples weigh 1 each."""
    answers, weights = voices(found), [t.score for t in found]
    left = config.num_samples - len(found)
    match config.adaptive:
        case CertainConfig():
            settled = best_is_settled if config.select == "best" else vote_is_settled
            return settled(answers, weights, left)
        case WindowConfig(size=size, agreement=wanted):
            return agreement(answers[-size:], weights[-size:]) >= wanted
        case PosteriorConfig(confidence=confidence):
            return lead_probability(answers, weights) >= confidence
        case ThresholdConfig(score=wanted):
            return score_is_reached(answers, weights, wanted)
    return False


def _reasons(config: BestOfNConfig, settled: bool, spent: bool) -> dict[str, float]:
    """Why sampling ended, for the reasons that it may end before N: 1 or 0, means are shares of the problems."""
    told = {"stopped_by_rule": float(settled)} if config.adaptive is not None else {}
    return told | ({"stopped_by_budget": float(spent and not settled)} if config.token_budget is not None else {})


def choose(trajectories: Sequence[Trajectory], select: str) -> str | None:
    """The most frequent answer, that of the best chain, or the one with the largest sum of scores."""
    answers, scores = voices(trajectories), [t.score for t in trajectories]
    if select == "majority":
        return majority_vote(answers)
    return best(answers, scores) if select == "best" else weighted_vote(answers, scores)
