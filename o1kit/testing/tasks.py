"""What every source of problems must keep to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from pydantic import TypeAdapter

from o1kit import registry
from o1kit.engines.policy import DELIMITER
from o1kit.functional.answers import find_answer
from o1kit.rewards.pool import Job, ScoringPool, Verdict
from o1kit.tasks.config import SplitConfig
from o1kit.tasks.suite import Suite
from o1kit.testing.check import check
from o1kit.testing.options import OPTIONS
from o1kit.testing.subject import Subject
from o1kit.types import GroundTruth, Problem

SEED, COUNT, SPLIT = 11, 12, 4
"""Problems that are looked at, and in each of two splits."""
HOSTILE = ("", " ", "no idea", "9" * 5000, "((((", "\x00", "<b>1</b>", "٣", "nan", "-inf", "1e999999")
"""Answers that no problem has."""


def source_of(subject: Subject) -> Any:
    """The source."""
    return subject.factory(subject.config, subject.base)


def drawn(subject: Subject, seed: int = SEED, count: int = COUNT) -> list[tuple[Problem, GroundTruth]]:
    """Problems of a new source, at most so many."""
    return list(islice(source_of(subject).generate(seed, count), count + 1))


def _plain(pairs: list[tuple[Problem, GroundTruth]]) -> list[Any]:
    """What tells pairs apart; the repr of a truth hides its answer, and its payload may hold anything."""
    return [(problem, truth.problem_id, truth.answer, dict(truth.payload)) for problem, truth in pairs]


@check(
    why="splits, results and files name problems and what judges them",
    fix="give every Problem an id, the source's `name` as task and a prompt; its GroundTruth has the same id",
)
def well_formed(subject: Subject) -> str | None:
    """It makes as many problems as it was asked for, each with an id, a prompt and a truth of the same id."""
    source = source_of(subject)
    source.check()
    pairs = drawn(subject)
    if not pairs or len(pairs) > COUNT:
        return f"asked for {COUNT} problems, it made {len(pairs)}"
    for problem, truth in pairs:
        if problem.id != truth.problem_id or problem.task != source.name or not problem.prompt.strip():
            return f"{problem} has the truth of {truth.problem_id!r}; the source is called {source.name!r}"
    if len({problem.id for problem, _ in pairs}) < len(pairs):
        return "two problems have the same id"
    return None


@check(
    why="a recipe and its seed are all that is needed to make the same problems again",
    fix="draw from random.Random(seed) of your own in `generate`, never from the module `random` or numpy as such",
)
def same_seed_same_problems(subject: Subject) -> str | None:
    """A new source makes the same problems of the same seed, as often as it is asked."""
    source = source_of(subject)
    first, second = (_plain(list(islice(source.generate(SEED, COUNT), COUNT))) for _ in range(2))
    if first != second:
        return "the same source makes other problems the second time"
    return None if _plain(drawn(subject)) == first else "a source made anew makes other problems"


@check(
    why="a split may be made larger, and its first problems must stay what they were",
    fix="let problem i depend on the seed and i alone, not on `count`",
)
def prefix(subject: Subject) -> str | None:
    """Fewer problems are the beginning of more."""
    few, many = _plain(drawn(subject, count=COUNT // 2)), _plain(drawn(subject))
    return None if many[: len(few)] == few else f"the first of {COUNT} problems are not those of {COUNT // 2}"


@check(
    why="what was trained on must not be measured, and a problem counts once",
    fix="widen what `generate` draws from: after repeats are left out there must be enough for every split",
)
def disjoint_splits(subject: Subject) -> str | None:
    """Two splits of it share no problem, hold none twice, and are the same again."""
    split = {"num_problems": SPLIT, "sources": [subject.section]}
    tasks = {name: TypeAdapter(SplitConfig).validate_python(split) for name in ("train", "heldout")}
    prompts: list[list[str]] = []
    for _ in range(2):
        suite = Suite(tasks, SEED, subject.base)
        prompts.append([problem.prompt for name in tasks for problem in suite.problems(name)])
    if len(set(prompts[0])) < len(prompts[0]):
        return "a problem is in both splits, or twice in one"
    return None if prompts[0] == prompts[1] else "the splits of the same recipe and seed hold other problems"


@check(
    why="accuracy is the share of answers with exactly full credit; they are judged in processes that can be killed",
    fix="return RIGHT (1.0) for the truth's own answer, less for all others; never raise; make the scorer importable "
    "by name (static methods, or a grader made of plain values) and the truth's payload plain values",
)
def scores(subject: Subject) -> str | None:
    """In a worker process the truth's own answer is right; nonsense is wrong, and does not break the scorer."""
    asked = [(problem, truth, answer) for problem, truth in drawn(subject) for answer in (truth.answer, *HOSTILE, None)]
    for (problem, truth, answer), verdict in zip(asked, _verdicts(subject, [case[1:] for case in asked]), strict=True):
        wanted = "no_answer" if answer is None else "right" if answer.strip() == truth.answer.strip() else "wrong"
        if verdict.outcome != wanted:
            detail = f" ({verdict.detail})" if verdict.detail else ""
            return f"to {problem.prompt!r} the answer {(answer or '')[:40]!r} is {verdict.outcome}{detail}"
    return None


def _verdicts(subject: Subject, cases: Sequence[tuple[GroundTruth, str | None]]) -> list[Verdict]:
    """What the source's own scorer says of answers, in one worker process."""
    source = source_of(subject)
    scorer: Any = getattr(source, "grader", None) or type(source)
    with ScoringPool(num_workers=1, timeout_s=20.0) as pool:
        return pool.judge([Job(scorer, truth, answer) for truth, answer in cases])


@check(
    why="models learn from these chains, and PPO's numbers start from what was learned",
    fix="end each step with a newline, state the answer in the last (`The answer is ...`), draw mistakes from `seed`",
)
def taught(subject: Subject) -> str | None:
    """Where it names a teacher, chains state the right answer, are the same again, and mistakes show."""
    name = source_of(subject).teacher
    if name is None:
        return None
    teacher = registry.lookup("teachers", name)()
    stated: list[tuple[str, GroundTruth, str | None]] = []
    for problem, truth in drawn(subject):
        for mistakes in ([], ["noticed"]):
            steps = teacher.trace(truth, problem.prompt, mistakes, SEED)
            if steps != teacher.trace(truth, problem.prompt, mistakes, SEED):
                return f"the chains for {problem.prompt!r} differ from one time to the next"
            if any(not step.endswith(DELIMITER) for step in steps[:-1]):
                return f"a step of the chain for {problem.prompt!r} does not end with a newline: {steps}"
            stated.append(("".join(steps), truth, find_answer("".join(steps))))
    for (text, _, answer), verdict in zip(stated, _verdicts(subject, [case[1:] for case in stated]), strict=True):
        if verdict.outcome != "right":
            return f"a chain states {answer!r}, which is {verdict.outcome}: {text!r}"
    return None


CHECKS = (
    well_formed,
    same_seed_same_problems,
    prefix,
    disjoint_splits,
    scores,
    taught,
    *OPTIONS,
)
