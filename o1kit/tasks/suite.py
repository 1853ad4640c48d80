"""`Suite`: the splits of a recipe. No prompt is in two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import regex

from o1kit import registry
from o1kit.errors import DataError, O1kitError
from o1kit.tasks.config import SplitConfig
from o1kit.tasks.graders.config import GradingConfig
from o1kit.tasks.graders.grader import label
from o1kit.tasks.source import RIGHT, Scorer, Source
from o1kit.types import GroundTruth, Problem, Score

TRAIN = "train"
MAX_REPEATS = 20_000
"""Known problems in a row after which a source counts as exhausted."""
MAX_TRIES = 50
"""Problems a source may make for each one that the split holds, before it counts as exhausted."""


MATCH_S = 1.0
"""Seconds that a source's `match` may take on one text."""


class Suite:
    """Problems by split, and apart from them what a verifier needs."""

    def __init__(
        self, tasks: Mapping[str, SplitConfig], seed: int, base_directory: Path, grading: GradingConfig | None = None
    ) -> None:
        self._tasks, self._seed, self._base = tasks, seed, base_directory
        self.grading = grading or GradingConfig()
        self._truths: dict[str, GroundTruth] = {}
        self._origins: dict[str, Source] = {}
        self._splits: dict[str, tuple[Problem, ...]] = {}

    @property
    def splits(self) -> list[str]:
        """Names of all splits."""
        return list(self._tasks)

    def faults(self) -> Iterator[tuple[tuple[str | int, ...], O1kitError]]:
        """The sources that cannot work, by their paths in the recipe, and why; generates nothing."""
        for name, split in self._tasks.items():
            for i, config in enumerate(split.sources):
                try:
                    registry.lookup("tasks", config.kind)(config, self._base).check()
                except O1kitError as error:
                    yield ("tasks", name, "sources", i), error

    def problems(self, split: str) -> Sequence[Problem]:
        """The problems of a split, the sources evenly mixed; the same for the same recipe and seed.

        Raises:
            DataError: there is no such split, or its sources hold too few different problems.
        """
        if split not in self._tasks:
            raise DataError(f"no split {split!r} in tasks.{registry.suggestion(split, list(self._tasks))}")
        if split not in self._splits:
            self._splits[split] = tuple(self._draw(split, self._elsewhere(split)))
        return self._splits[split]

    def truth(self, problem: Problem) -> GroundTruth:
        """What a verifier needs for one problem."""
        return self._truths[problem.id]

    def scorer_of(self, truth: GroundTruth) -> Scorer:
        """What judges the problem's answers: its source's grader or else class, which a worker can import."""
        return _scorer(self._origins[truth.problem_id])

    def graders(self) -> dict[str, str]:
        """What judges each kind of problem, by task: "math 3 (math-verify 0.9.0)". Part of every result."""
        found: dict[str, set[str]] = {}
        for sources in self._sources.values():
            for source in sources:
                found.setdefault(source.name, set()).add(_judged_by(source))
        return {task: " | ".join(sorted(names)) for task, names in sorted(found.items())}

    def source_of(self, problem: Problem) -> str:
        """Name of the problem's teacher if it has one, else of its generator or file."""
        origin = self._origins[problem.id]
        return origin.teacher or origin.name

    def teacher_of(self, problem: Problem) -> str | None:
        """Name of the program that writes chains for the problem; None when its file brings them."""
        return self._origins[problem.id].teacher

    def score(self, problem: Problem, answer: str | None) -> Score:
        """The verdict of the problem's own scorer, in this process and without a time limit (see `Verifier`)."""
        if answer is None:
            return Score(0.0, "verifier", oracle=True, outcome="no_answer")
        truth = self.truth(problem)
        try:
            right = self.scorer_of(truth).score(truth, answer) == RIGHT
        except Exception:  # a scorer that chokes on an answer is an outcome, not the end of the run
            return Score(0.0, "verifier", oracle=True, outcome="error")
        return Score(float(right), "verifier", oracle=True, outcome="right" if right else "wrong")

    def _elsewhere(self, split: str) -> set[str]:
        """Prompts of the splits with precedence: those listed earlier; `train` comes last of all."""
        order = [name for name in self._tasks if name != TRAIN] + [TRAIN]
        return {p.prompt for name in order[: order.index(split)] for p in self.problems(name)}

    @cached_property
    def _sources(self) -> dict[str, list[Source]]:
        return {
            name: [registry.lookup("tasks", config.kind)(config, self._base) for config in split.sources]
            for name, split in self._tasks.items()
        }

    def _draw(self, split: str, taken: set[str]) -> Iterator[Problem]:
        config, sources = self._tasks[split], self._sources[split]
        limit = MAX_TRIES * config.num_problems + MAX_REPEATS
        streams = [
            matching(s.generate(derive_seed(self._seed, split, i), limit), config.sources[i].match)
            for i, s in enumerate(sources)
        ]
        schedule = interleave([s.weight for s in config.sources], config.num_problems)
        counts: dict[str, int] = {}
        for slot, i in enumerate(schedule):
            fresh = _first_new(streams[i], taken)
            if fresh is None:
                raise DataError(
                    f"tasks.{split}.sources[{i}] ({sources[i].name}): only {schedule[:slot].count(i)} different "
                    f"problems found that are in no other split, {schedule.count(i)} are needed. Lower "
                    f"tasks.{split}.num_problems or the source's weight, widen its options, or give it more rows."
                )
            problem, truth = fresh
            number = counts[problem.task] = counts.get(problem.task, -1) + 1
            name = f"{split}/{problem.task}/{number}"
            taken.add(problem.prompt)
            self._truths[name] = replace(truth, problem_id=name)
            self._origins[name] = sources[i]
            yield replace(problem, id=name)


def build_suite(
    tasks: Mapping[str, SplitConfig], seed: int, base_directory: Path, grading: GradingConfig | None = None
) -> Suite:
    """The splits of a recipe; nothing is generated before it is asked for."""
    return Suite(tasks, seed, base_directory, grading)


def _scorer(source: Source) -> Scorer:
    return cast(Scorer, getattr(source, "grader", None) or type(source))


def _judged_by(source: Source) -> str:
    grader = getattr(source, "grader", None)
    if grader is not None:
        return label(grader)
    told: Any = getattr(source, "judged_by", None)
    return str(told()) if told is not None else type(source).__name__


def matching(
    stream: Iterator[tuple[Problem, GroundTruth]], pattern: str | None
) -> Iterator[tuple[Problem, GroundTruth]]:
    """The problems in whose text the pattern is found.

    Raises:
        DataError: the pattern takes too long on a text.
    """
    if pattern is None:
        yield from stream
        return
    wanted = regex.compile(pattern)
    for problem, truth in stream:
        try:
            found = wanted.search(problem.prompt, timeout=MATCH_S)
        except TimeoutError:
            raise DataError(f"match: {pattern!r} takes too long on {problem.prompt[:60]!r}. Simplify it.") from None
        if found:
            yield problem, truth


def interleave(weights: Sequence[float], count: int) -> list[int]:
    """Which source fills each of `count` places: every prefix is as near to the weights as whole numbers allow.

    Webster's method: the next place goes to the source with the smallest (places so far + 1/2) / weight.
    """
    filled = [0] * len(weights)
    order = []
    for _ in range(count):
        i = min(range(len(weights)), key=lambda j: ((filled[j] + 0.5) / weights[j], j))
        filled[i] += 1
        order.append(i)
    return order


def derive_seed(seed: int, *names: object) -> int:
    """A seed below 2**30 for one source of one split, independent of all others."""
    text = ":".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 2


def _first_new(stream: Iterator[tuple[Problem, GroundTruth]], taken: set[str]) -> tuple[Problem, GroundTruth] | None:
    for _, pair in zip(range(MAX_REPEATS), stream, strict=False):
        if pair[0].prompt not in taken:
            return pair
    return None
