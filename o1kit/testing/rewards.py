"""What every reward must keep to."""

from __future__ import annotations

import asyncio
import math
import re
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from o1kit.engines.policy import LanguagePolicy
from o1kit.errors import RewardFailure
from o1kit.models.reading import Reading
from o1kit.rewards.build import RewardContext, Scorer, build_reward
from o1kit.rewards.config import MixtureConfig, RewardSection
from o1kit.rewards.pool import ScoringPool
from o1kit.rewards.verifier import Verifier
from o1kit.search.journal import Journal
from o1kit.search.journaled import journaled
from o1kit.tasks.graders.config import GradingConfig, NumericConfig
from o1kit.tasks.graders.grader import build_grader
from o1kit.tasks.source import Scorer as ScorerOfAnswers
from o1kit.testing.check import check
from o1kit.testing.lab import ASK_MARK, Lab, chains, template
from o1kit.testing.options import OPTIONS
from o1kit.testing.running import cancelled, run
from o1kit.testing.subject import Subject
from o1kit.types import Account, GroundTruth, Problem, State

SEED = 5
TOLERANCE = 1e-4
"""Scores may differ by so much, whose last bits depend on what was computed together."""
FEW = 6
"""Chains that are judged."""


def built(subject: Subject, lab: Lab) -> Any:
    """The reward, with the lab's models: that of any stage is the lab's reward model, read as the section's kind is."""
    trained = subject.kind if subject.kind in ("prm", "orm", "pairwise") else "prm"

    def scorer(_: str) -> Scorer:
        return Scorer(lab.engine("judge"), template(), Reading.model_validate({"kind": trained}))

    def asked(name: str | None) -> LanguagePolicy:
        return lab.policy(f"asked {name}", judges=True)

    section: Any = subject.config
    return build_reward(section, RewardContext(lab.policy(), scorer, asked, SEED, lambda: _verifier(lab)))


class _Sums:
    """The truths of the kit's problems, as a suite gives them."""

    grading = GradingConfig()

    def truth(self, problem: Problem) -> GroundTruth:
        """The sum."""
        return GroundTruth(problem.id, str(sum(map(int, re.findall(r"[0-9]+", problem.prompt)))))

    def scorer_of(self, truth: GroundTruth) -> ScorerOfAnswers:
        """Compares numbers."""
        return build_grader(NumericConfig(kind="numeric"))


@cache
def _pool() -> ScoringPool:
    return ScoringPool(num_workers=1, timeout_s=20.0)


def _verifier(lab: Lab) -> Verifier:
    suite: Any = _Sums()
    return Verifier(suite, _pool(), lab.policy().answer)


def some() -> tuple[State, ...]:
    """Chains of several problems, one of them only begun."""
    whole = chains()[:: max(1, len(chains()) // FEW)][:FEW]
    long = max(chains(), key=lambda state: len(state.actions))
    return (*whole, State(long.problem, long.prompt_ids, long.actions[:1]))


async def _judged(subject: Subject, lab: Lab, states: Sequence[State], *, together: bool = True) -> list[list[float]]:
    reward = built(subject, lab)
    if together:
        return list(await asyncio.gather(*(_one(reward, state) for state in states)))
    return [await _one(reward, state) for state in states]


async def _one(reward: Any, state: State) -> list[float]:
    """The score of a chain, then those of its steps; nothing where the reward says that it cannot judge it."""
    try:
        return [(await reward.score(state)).value, *await reward.step_scores(state)]
    except RewardFailure:
        return []


def judged(subject: Subject, lab: Lab, states: Sequence[State], *, together: bool = True) -> list[list[float]]:
    """The scores of chains, judged at the same time or one after another."""
    return run(_judged(subject, lab, states, together=together))


def unlike(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], when: str) -> str | None:
    """What tells two judgements of the same chains apart."""
    for state, a, b in zip(some(), first, second, strict=True):
        if len(a) != len(b) or any(not math.isclose(x, y, abs_tol=TOLERANCE) for x, y in zip(a, b)):
            return f"{when}, the chain {state.text!r} is worth {b} and not {a}"
    return None


@check(
    why="searches weigh, multiply and average scores as probabilities",
    fix="map what you compute into [0, 1] (functional.preference.sigmoid); RewardFailure where you cannot",
)
def in_range(subject: Subject) -> str | None:
    """Every score is a number in [0, 1], one for each step."""
    states = some()
    found = judged(subject, Lab(), states)
    if not any(found):
        return (
            f"it could judge none of {len(states)} chains (RewardFailure); the kit's model answers a prompt that ends "
            f"with {ASK_MARK!r} with a number from -9 to 99"
        )
    for state, (score, *steps) in ((state, scores) for state, scores in zip(states, found) if scores):
        if len(steps) != len(state.actions):
            return f"a chain of {len(state.actions)} steps has {len(steps)} step scores"
        if not all(0.0 <= value <= 1.0 for value in (score, *steps)):
            return f"the chain {state.text!r} has the score {score} and the step scores {steps}"
    return None


@check(
    why="a reward that is made again must say the same: runs are resumed, and results compared",
    fix="draw noise from keys derived of the chain (o1kit.functional.keys.derive); keep no memory of what was judged",
)
def same_chain_same_score(subject: Subject) -> str | None:
    """Judged again, by the same reward and by a new one, a chain is worth the same."""
    lab, states = Lab(), some()

    async def twice() -> tuple[list[list[float]], list[list[float]]]:
        reward = built(subject, lab)
        first = [await _one(reward, state) for state in states]
        reward.refresh()
        return first, [await _one(reward, state) for state in states]

    first, second = run(twice())
    found = unlike(first, second, "judged a second time, after `refresh`")
    return found or unlike(first, judged(subject, Lab(), states, together=False), "judged by a reward made anew")


@check(
    why="chains are judged many at a time, in an order that no one knows",
    fix="let a score depend on its chain alone, not on others in the same batch",
)
def any_batch(subject: Subject) -> str | None:
    """A chain's score does not depend on what is judged with it, or how many at once."""
    states = some()
    first = judged(subject, Lab(), states, together=False)
    turned = judged(subject, Lab(), states[::-1])[::-1]
    found = unlike(first, turned, "judged together with others, in another order")
    return found or unlike(first, judged(subject, Lab(1), states), "with max_batch 1")


@check(
    why="what judging costs is told apart from what searching costs",
    fix="charge engines with o1kit.rewards.base.account(state), and ask policies made with `judges=True`",
)
def charged(subject: Subject) -> str | None:
    """All tokens are charged to the chain's problem, as judging."""
    lab, state = Lab(), some()[0]
    judged(subject, lab, [state])
    for engine in lab.engines.values():
        for account in engine.ledger.entries:
            if (account.problem, account.phase) != (state.problem.id, "score"):
                return f"tokens are charged to {account}, not to {Account(state.problem.id, 'score')}"
    return None


@check(
    why="a killed search goes on from the judgements it had",
    fix="return plain numbers: `Score` with a float, and a tuple of floats",
)
def resumes(subject: Subject) -> str | None:
    """Judgements come back from a journal as they were."""
    states = some()
    with tempfile.TemporaryDirectory() as folder:
        path, header = Path(folder) / "journal.jsonl", {"kit": subject.kind}

        async def all_of(lab: Lab, journal: Journal) -> list[list[float]]:
            reward = journaled(built(subject, lab), journal, subject.kind)
            return [await _one(reward, state) for state in states]

        with Journal(path, header) as journal:
            first = run(all_of(Lab(), journal))
        with Journal(path, header) as journal:
            second = run(all_of(Lab(), journal))
            if journal.recorded:
                return f"{journal.recorded} judgements were asked for anew"
    return unlike(first, second, "taken from the record")


@check(
    why="Ctrl-C and a failing stage cancel judgements; one that goes on holds the run",
    fix="let CancelledError pass (no bare `except`, no `suppress`), and await every task you start",
)
def cancellation(subject: Subject) -> str | None:
    """Cancelled at any time it ends at once and leaves nothing running."""
    longest = max(some(), key=lambda state: len(state.actions))
    return cancelled(lambda lab: _one(built(subject, lab), longest), shares=True)


@check(
    why="tables, trees and journals name a reward, mixtures weigh it, and stages ask whose tokens it takes",
    fix="derive from o1kit.rewards.base.RewardBase (or ChainReward), set name, level, engine; section: RewardSection",
)
def described(subject: Subject) -> str | None:
    """It says what it is called, what it judges and what computes it."""
    if not isinstance(subject.config, RewardSection | MixtureConfig):
        return f"its section {type(subject.config).__name__} is no o1kit.rewards.config.RewardSection"
    reward = built(subject, Lab())
    if not getattr(reward, "name", ""):
        return "it has no `name`"
    if getattr(reward, "level", None) not in ("step", "outcome"):
        return f"its `level` is {getattr(reward, 'level', None)!r}, not 'step' or 'outcome'"
    return None


CHECKS = (described, in_range, same_chain_same_score, any_batch, charged, resumes, cancellation, *OPTIONS)
