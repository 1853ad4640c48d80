"""`Suite`: the splits of a recipe. No prompt is in two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from o1kit.errors import DataError
from o1kit.tasks.config import JsonlConfig, ReasoningGymConfig, SplitConfig
from o1kit.tasks.gym import ReasoningGymSource, problem, score_gym
from o1kit.tasks.jsonl import JsonlSource, score_jsonl
from o1kit.types import GroundTruth, Problem, Score

TRAIN = "train"
MAX_REPEATS = 20_000
"""Problems in a row that were seen before until a source counts as exhausted."""

Source = ReasoningGymSource | JsonlSource


class Suite:
    """Problems by split, and apart from them what a verifier needs."""

    def __init__(self, tasks: Mapping[str, SplitConfig], seed: int, base_directory: Path) -> None:
        self._tasks, self._seed, self._base = tasks, seed, base_directory
        self._truths: dict[str, GroundTruth] = {}
        self._teachers: dict[str, str | None] = {}
        self._splits: dict[str, list[Problem]] = {}

    def problems(self, split: str) -> Sequence[Problem]:
        """The problems of a split, the sources evenly mixed; the same for the same recipe and seed.

        Raises:
            DataError: there is no such split, or its sources hold too few different problems.
        """
        if split not in self._tasks:
            raise DataError(f"no split {split!r} in tasks. Choose one of: {', '.join(self._tasks)}.")
        if split not in self._splits:
            self._splits[split] = list(self._draw(split, self._elsewhere(split)))
        return self._splits[split]

    def truth(self, problem: Problem) -> GroundTruth:
        """What a verifier needs for one problem."""
        return self._truths[problem.id]

    def teacher_of(self, problem: Problem) -> str | None:
        """Name of the program that writes chains for the problem; None when its file brings them."""
        return self._teachers[problem.task]

    def score(self, problem: Problem, answer: str | None) -> Score:
        """The verdict of the problem's own scorer."""
        if answer is None:
            return Score(0.0, "verifier", oracle=True, outcome="no_answer")
        truth = self.truth(problem)
        right = score_jsonl(truth, answer) if truth.payload.get("source") == "jsonl" else score_gym(truth, answer)
        return Score(float(right), "verifier", oracle=True, outcome="right" if right else "wrong")

    def _elsewhere(self, split: str) -> set[str]:
        """Prompts that belong to splits with precedence: those listed earlier; `train` comes last of all."""
        order = [name for name in self._tasks if name != TRAIN] + [TRAIN]
        earlier = order[: order.index(split)]
        return {p.prompt for name in earlier for p in self.problems(name)}

    @cached_property
    def _sources(self) -> dict[str, list[Source]]:
        return {name: [self._source(s) for s in split.sources] for name, split in self._tasks.items()}

    def _source(self, config: ReasoningGymConfig | JsonlConfig) -> Source:
        source = JsonlSource(config, self._base) if isinstance(config, JsonlConfig) else ReasoningGymSource(config)
        self._teachers[source.name] = source.teacher
        return source

    def _draw(self, split: str, taken: set[str]) -> Iterator[Problem]:
        config = self._tasks[split]
        streams = [s.generate(_seed(self._seed, split, i)) for i, s in enumerate(self._sources[split])]
        counts = [0] * len(streams)
        weights = [s.weight for s in config.sources]
        for _ in range(config.num_problems):
            i = min(range(len(streams)), key=lambda j: ((counts[j] + 1) / weights[j], j))
            source = self._sources[split][i]
            prompt, truth = self._fresh(split, source, streams[i], taken, sum(counts))
            item = problem(split, source.name, counts[i], prompt)
            counts[i] += 1
            taken.add(prompt)
            self._truths[item.id] = replace(truth, problem_id=item.id)
            yield item

    def _fresh(
        self, split: str, source: Source, stream: Iterator[tuple[str, GroundTruth]], taken: set[str], found: int
    ) -> tuple[str, GroundTruth]:
        for repeats, (prompt, truth) in enumerate(stream):
            if prompt not in taken:
                return prompt, truth
            if repeats >= MAX_REPEATS:
                break
        raise DataError(
            f"split {split!r}: {source.name} has no further problem that is not in another split ({found} found in "
            f"all). Lower tasks.{split}.num_problems or widen the source's options."
        )


def build_suite(tasks: Mapping[str, SplitConfig], seed: int, base_directory: Path) -> Suite:
    """The splits of a recipe; nothing is generated before it is asked for."""
    return Suite(tasks, seed, base_directory)


def _seed(seed: int, *names: object) -> int:
    text = ":".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 2
