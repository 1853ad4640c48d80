"""What every search must keep to."""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from o1kit.functional.keys import derive
from o1kit.rewards.confidence import ConfidenceReward
from o1kit.rewards.prm import PrmReward, ValueHeadReward
from o1kit.search.journal import Journal
from o1kit.search.journaled import JournaledPolicy, journaled
from o1kit.search.section import SearchSection
from o1kit.testing.check import check
from o1kit.testing.lab import PROBLEMS, Lab
from o1kit.testing.options import OPTIONS
from o1kit.testing.running import cancelled, run
from o1kit.testing.subject import Subject
from o1kit.types import SearchResult, State

SEED = 20
TOLERANCE = 1e-4
"""Scores may differ by so much, whose last bits depend on what was computed together."""
EVERYTHING = range(4)


def judge_of(config: SearchSection, lab: Lab) -> Any:
    """The reward that the search asks for; None where it needs none."""
    if config.judge == "judge":
        return PrmReward(lab.engine("judge"))
    if config.judge == "value_head":
        return ValueHeadReward(lab.engine())
    if config.judge == "confidence":
        return ConfidenceReward(getattr(config, "confidence_tokens", 5))
    return None


def searched(
    subject: Subject, lab: Lab, order: Sequence[int] = EVERYTHING, journal: Journal | None = None
) -> dict[int, SearchResult]:
    """The problems searched at the same time, begun in the given order, each with a key of its own."""
    return run(_searched(subject, lab, order, journal))


async def _searched(
    subject: Subject, lab: Lab, order: Sequence[int] = EVERYTHING, journal: Journal | None = None
) -> dict[int, SearchResult]:
    config: Any = subject.config
    search, policy, judge = subject.factory(config), lab.policy(), judge_of(config, lab)
    asked: Any = policy if journal is None else JournaledPolicy(policy, journal)
    if journal is not None and judge is not None:
        judge = journaled(judge, journal, judge.name)
    jobs = [search.run(asked.start(PROBLEMS[i]), policy=asked, reward=judge, key=derive(SEED, i)) for i in order]
    return dict(zip(order, await asyncio.gather(*jobs), strict=True))


async def _alone(subject: Subject, lab: Lab) -> SearchResult:
    """One problem searched, with nothing between the search and who cancels it."""
    config: Any = subject.config
    search, policy, judge = subject.factory(config), lab.policy(), judge_of(config, lab)
    found: SearchResult = await search.run(policy.start(PROBLEMS[0]), policy=policy, reward=judge, key=SEED)
    return found


def plain(subject: Subject) -> dict[int, SearchResult]:
    """The problems searched as usual, computed once."""
    return subject.once("plain", lambda: searched(subject, Lab()))


def difference(one: SearchResult, other: SearchResult) -> str | None:
    """What tells two results apart; None where they are the same but for the last bits of scores."""
    if one.answers != other.answers:
        return f"the answers {one.answers} and {other.answers}"
    if [t.state.token_ids for t in one.trajectories] != [t.state.token_ids for t in other.trajectories]:
        return "other chains"
    if one.usage.generated != other.usage.generated:
        return f"{one.usage.generated} and {other.usage.generated} tokens"
    if [t.visits for t in one.trajectories] != [t.visits for t in other.trajectories]:
        return "chains with other visits"
    if not all(math.isclose(a.score, b.score, abs_tol=TOLERANCE) for a, b in zip(one.trajectories, other.trajectories)):
        return "chains with other scores"
    if [(n.parent, n.text, n.visits) for n in one.tree] != [(n.parent, n.text, n.visits) for n in other.tree]:
        return "another tree"
    return None


def differs(first: dict[int, SearchResult], second: dict[int, SearchResult], when: str) -> str | None:
    """What tells two runs apart."""
    for i, result in sorted(second.items()):
        found = difference(first[i], result)
        if found is not None:
            return f"{when}, the problem {PROBLEMS[i].prompt!r} gets {found}"
    return None


@check(
    why="tables, PPO and the files of trees read these fields",
    fix="build trajectories with `State.after` and answers with `policy.answer(state)`; at least one, or None",
)
def well_formed(subject: Subject) -> str | None:
    """The parts of a result fit together."""
    policy = Lab().policy()
    found_of: Any = plain(subject)
    for i, result in found_of.items():
        if not isinstance(result, SearchResult):
            return f"`run` returned {type(result).__name__}, not SearchResult"
        if not result.answers:
            return "no answer at all: a search that found none returns (None,)"
        for found in result.trajectories:
            wrong = _chain_fault(found.state, i)
            if wrong is not None:
                return wrong
            if found.answer != policy.answer(found.state):
                return (
                    f"a trajectory has the answer {found.answer!r}, and its chain states {policy.answer(found.state)!r}"
                )
            if not math.isfinite(found.score) or len(found.step_scores) not in (0, len(found.state.actions)):
                return f"a trajectory of {len(found.state.actions)} steps is worth {found.step_scores}, {found.score}"
        ids = [node.id for node in result.tree]
        if len(set(ids)) < len(ids) or any(n.parent is not None and n.parent not in ids for n in result.tree):
            return "nodes of the tree have equal ids, or a parent that is not in it"
    return None


def _chain_fault(state: State, number: int) -> str | None:
    if state.problem.id != PROBLEMS[number].id:
        return f"a trajectory of the problem {state.problem.id!r} was returned for {PROBLEMS[number].id!r}"
    if not state.terminal:
        return f"a trajectory has not ended: {state.text!r}. Finish it with `policy.complete`, or leave it out"
    for action in state.actions:
        made = action.completion
        if len(made.logprobs) != len(made.token_ids):
            return f"a step has {len(made.token_ids)} tokens and {len(made.logprobs)} log-probabilities"
    return None


@check(
    why="a run must give the same numbers when it is run again",
    fix="draw every random choice from `key` (o1kit.functional.keys.derive), never from random, numpy or torch as such",
)
def same_key_same_result(subject: Subject) -> str | None:
    """Two runs with the same keys are alike."""
    return differs(plain(subject), searched(subject, Lab()), "run twice with the same key")


@check(
    why="problems are searched many at a time, in an order that no one knows",
    fix="keep nothing on the search object between calls of `run`; derive every request's key from `key` alone",
)
def any_order(subject: Subject) -> str | None:
    """The result of a problem does not depend on what is searched besides."""
    first = plain(subject)
    found = differs(first, searched(subject, Lab(), tuple(reversed(EVERYTHING))), "begun in another order")
    return found or differs(first, searched(subject, Lab(), (2,)), "searched alone")


@check(
    why="results must not depend on how much memory the machine has",
    fix="decide by what replies say, never by which came first (asyncio.as_completed, the order of `wait`)",
)
def any_batch_size(subject: Subject) -> str | None:
    """The same with an engine that computes one sequence at a time."""
    return differs(plain(subject), searched(subject, Lab(1)), "with max_batch 1 in place of 64")


@check(
    why="searches are compared at equal cost by this number",
    fix="add the tokens of every sampled action and chain to `SearchResult.usage.generated`, thrown away or not",
)
def budget(subject: Subject) -> str | None:
    """Tokens said to be generated are those that the engines counted."""
    for i in (0, 1):
        lab = Lab()
        (result,) = searched(subject, lab, (i,)).values()
        # What the search samples counts, whoever does it; what a judge asks of a model is the judge's.
        if result.usage.generated != lab.sampled():
            return f"it reports {result.usage.generated} generated tokens, the engine's ledger {lab.sampled()}"
    return None


@check(
    why="the cost of each problem is told, and stops searches that have a budget",
    fix="ask the policy with the state you were given or one that continues it: its problem is charged",
)
def charged(subject: Subject) -> str | None:
    """All tokens are charged to the problem that is searched."""
    lab = Lab()
    searched(subject, lab, (3,))
    for engine in lab.engines.values():
        for account in engine.ledger.entries:
            if account.problem != PROBLEMS[3].id:
                return f"tokens are charged to {account.problem!r}, the problem is {PROBLEMS[3].id!r}"
    return None


@check(
    why="a killed run goes on from the replies it had, and must come to the same end",
    fix="ask the same questions in the same order for the same key: no clocks, no sets, no state from other problems",
)
def resumes(subject: Subject) -> str | None:
    """From the journal of a whole run, or half of one, it comes to the same result."""
    with tempfile.TemporaryDirectory() as folder:
        path, header = Path(folder) / "journal.jsonl", {"kit": subject.kind}
        with Journal(path, header) as journal:
            first = searched(subject, Lab(), journal=journal)
        lab = Lab()
        with Journal(path, header) as journal:
            again = searched(subject, lab, journal=journal)
            if journal.recorded:
                return f"started again, it asked {journal.recorded} questions that it had not asked before"
        found = differs(first, again, "from the record of a whole run")
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[: 1 + len(lines) // 2]))
        with Journal(path, header) as journal:
            half = searched(subject, Lab(), journal=journal)
        return found or differs(first, half, "from the record of half a run")


@check(
    why="Ctrl-C and a failing stage cancel searches; one that goes on holds the run and spends tokens nobody reads",
    fix="let CancelledError pass (no bare `except`, no `suppress`); await every task you start (gather, TaskGroup)",
)
def cancellation(subject: Subject) -> str | None:
    """Cancelled at any time it ends at once and leaves nothing running."""
    return cancelled(lambda lab: _alone(subject, lab))


@check(
    why="tables name searches by their titles, and the plan asks a section what judges it",
    fix="a `title` that says what sets the search apart; a `judge` that is judge, value_head, confidence or None",
)
def section(subject: Subject) -> str | None:
    """The section answers what stages ask of it, and survives being written down."""
    config: Any = subject.config
    if not isinstance(config, SearchSection):
        return f"its section {type(config).__name__} is no o1kit.search.section.SearchSection"
    if not config.title or config.judge not in (None, "judge", "value_head", "confidence"):
        return f"title {config.title!r}, judge {config.judge!r}"
    other = replace(subject, options=config.model_dump(mode="json", exclude={"kind"})).config
    return None if other == config else "written as JSON and read again, the section is another one"


CHECKS = (
    section,
    well_formed,
    same_key_same_result,
    any_order,
    any_batch_size,
    budget,
    charged,
    resumes,
    cancellation,
    *OPTIONS,
)
