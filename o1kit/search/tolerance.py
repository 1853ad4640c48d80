"""`Tolerance`: a search goes on where a reward could not judge, as long as that stays rare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from o1kit.errors import RewardFailure
from o1kit.protocols import RankingReward, StepReward
from o1kit.types import Problem, Score, State, TreeNode

MIN_JUDGED = 50
"""Judgements made before their share of failures counts; at the end it counts in any case."""
Failure = Literal["error", "timeout"]
Name = tuple[str, tuple[int, ...]]
"""A chain: its problem and its tokens."""
_ROUNDING = 1e-6


class Tolerance:
    """Counts the judgements of a stage and those that failed, which count as 0.

    Args:
        max_failures: largest share of judgements that may fail.
    """

    def __init__(self, max_failures: float) -> None:
        self.max_failures = max_failures
        self.judged = self.failed = 0
        self._last = ""
        self._outcomes: dict[Name, Failure] = {}
        self._passed: dict[Name, Failure] = {}

    def wrap(self, reward: StepReward, name: str) -> TolerantReward:
        """The reward with every failure turned into a 0 and counted; `name` is the source of these."""
        if isinstance(reward, RankingReward):
            return TolerantRanking(reward, name, self)
        return TolerantReward(reward, name, self)

    def check(self, *, end: bool = False) -> None:
        """Looks at the share of failures, early on only at the `end` of the stage.

        Raises:
            RewardFailure: it is too large.
        """
        if self.failed > self.max_failures * self.judged and (end or self.judged >= MIN_JUDGED):
            raise RewardFailure(
                f"the reward could not judge {self.failed} of {self.judged} chains, more than "
                f"{self.max_failures:.0%} (max_failed_judgements). The last one: {self._last or 'no reason given'}. "
                "Repair the reward, or raise max_failed_judgements; the same command then goes on where it was."
            )

    def note(self, state: State, outcome: Failure | None, reason: str = "") -> None:
        """Counts one judgement of a chain.

        Raises:
            RewardFailure: too many have failed.
        """
        self.judged += 1
        if outcome is not None:
            self.failed += 1
            self._last = reason
            self._outcomes.setdefault(_name(state), outcome)
            for length in range(1, len(state.actions)):
                self._passed.setdefault(_name(replace(state, actions=state.actions[:length])), outcome)
        self.check()

    def outcomes(self, problem: Problem, tree: Sequence[TreeNode]) -> dict[int, Failure]:
        """The nodes of a tree that could not be judged, by number."""
        if not self._outcomes:
            return {}
        found: dict[int, Failure] = {}
        paths: dict[int | None, tuple[int, ...]] = {None: ()}
        for node in tree:
            paths[node.id] = (() if node.unit == "solution" else paths[node.parent]) + node.token_ids
            name = (problem.id, paths[node.id])
            outcome = self._outcomes.get(name)
            if outcome is None and node.estimate == 0:  # as it is when a judgement of all steps failed
                outcome = self._passed.get(name)
            if outcome is not None:
                found[node.id] = outcome
        return found

    def forget(self) -> None:
        """Forgets which chains failed, not how many: their trees are written."""
        self._outcomes.clear()
        self._passed.clear()


class TolerantReward:
    """A reward that never fails: what it cannot judge is worth 0, and counted."""

    def __init__(self, reward: StepReward, name: str, tolerance: Tolerance) -> None:
        self.reward, self.name, self.tolerance = reward, name, tolerance
        self.engine = getattr(reward, "engine", None)

    async def score(self, state: State) -> Score:
        """The score of a chain so far; 0 with the outcome `error` or `timeout` if there is none."""
        try:
            score = await self.reward.score(state)
        except RewardFailure as error:
            self.tolerance.note(state, error.outcome, str(error))
            return Score(0.0, self.name, outcome=error.outcome)
        outcome, reason = _judged(score)
        self.tolerance.note(state, outcome, reason)
        return score if outcome is None else replace(score, value=0.0, outcome=outcome)

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """The score after each step; zeros if there are none."""
        try:
            scores = await self.reward.step_scores(state)
        except RewardFailure as error:
            return self._none(state, error.outcome, str(error))
        if len(scores) != len(state.actions):
            return self._none(state, "error", f"{len(scores)} scores for {len(state.actions)} steps")
        wrong = next((x for x in scores if not _possible(x)), None)
        if wrong is not None:
            return self._none(state, "error", f"{wrong} is not a score in [0, 1]")
        self.tolerance.note(state, None)
        return scores

    def _none(self, state: State, outcome: Failure, reason: str) -> tuple[float, ...]:
        self.tolerance.note(state, outcome, reason)
        return (0.0,) * len(state.actions)


class TolerantRanking(TolerantReward):
    """The same for a reward that compares chains: what it cannot compare is not known, and counted."""

    reward: RankingReward

    def __init__(self, reward: RankingReward, name: str, tolerance: Tolerance) -> None:
        super().__init__(reward, name, tolerance)

    async def prefer(self, first: State, second: State) -> float | None:
        """The probability that the first chain is better; None where it could not say."""
        try:
            found = await self.reward.prefer(first, second)
        except RewardFailure as error:
            self.tolerance.note(first, error.outcome, str(error))
            return None
        wrong = found is None or not _possible(found)
        self.tolerance.note(first, "error" if wrong else None, f"{found} is not a probability" if wrong else "")
        return None if wrong else found


def _judged(score: Score) -> tuple[Failure | None, str]:
    """Whether a score is none, and why."""
    if score.outcome in ("error", "timeout"):
        return ("timeout" if score.outcome == "timeout" else "error"), f"{score.source}: {score.outcome}"
    if not _possible(score.value):
        return "error", f"{score.value} is not a score in [0, 1]"
    return None, ""


def _possible(value: float) -> bool:
    """True for a number in [0, 1], rounding aside; false for NaN."""
    return -_ROUNDING <= value <= 1 + _ROUNDING


def _name(state: State) -> Name:
    return state.problem.id, state.token_ids[len(state.prompt_ids) :]
