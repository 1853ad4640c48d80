"""`ConfidenceReward`: how sure the policy was of its own tokens (Marco-o1, arXiv 2411.14405)."""

from __future__ import annotations

from itertools import accumulate

from o1kit.functional.confidence import NO_EVIDENCE, rollout_confidence
from o1kit.rewards.base import RewardBase
from o1kit.types import Action, Score, State


class ConfidenceReward(RewardBase):
    """The mean confidence of a chain's tokens, among `k` alternatives; costs no forward pass."""

    name = "confidence"

    def __init__(self, k: int = 5) -> None:
        self.k = k

    async def score(self, state: State) -> Score:
        """The mean over the chain so far."""
        return Score((_means(state, self.k) or (NO_EVIDENCE,))[-1], "confidence")

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """The mean over the chain up to the end of each step."""
        return _means(state, self.k)


def _means(state: State, k: int) -> tuple[float, ...]:
    sums = accumulate((_confidence(action, k) for action in state.actions), lambda a, b: (a[0] + b[0], a[1] + b[1]))
    return tuple(total / n if n else NO_EVIDENCE for total, n in sums)


def _confidence(action: Action, k: int) -> tuple[float, int]:
    """The sum of an action's confidences, and of how many tokens.

    Raises:
        ValueError: the completion was sampled without alternatives.
    """
    completion = action.completion
    if completion.token_ids and not completion.alternatives:
        raise ValueError("confidence needs completions that were sampled with the likeliest alternatives")
    drawn = len(completion.token_ids) - completion.given
    likeliest = [sorted((x for _, x in found), reverse=True)[:k] for found in completion.alternatives]
    return rollout_confidence(completion.logprobs, likeliest, completion.given) * drawn if drawn else 0.0, drawn
