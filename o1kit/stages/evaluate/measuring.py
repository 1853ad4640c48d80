"""From graded outputs to the rows of a table: pure, so stored outputs that are graded again are measured alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from o1kit.functional.significance import hierarchical_interval
from o1kit.functional.statistics import pass_at_k
from o1kit.report.output_schema import OutputLine
from o1kit.report.results import ResultRow
from o1kit.search.config import SampleConfig, SearchConfig
from o1kit.stages.evaluate.storing import Cell

Runs = Sequence[Sequence[OutputLine]]
"""Outputs of one cell: for each seed one line a problem, the problems in the same order."""
Value = Callable[[OutputLine], float]


class Measured(NamedTuple):
    """A row, and what it is the mean of: for each problem the mean over seeds."""

    row: ResultRow
    values: tuple[float, ...]
    problems: tuple[str, ...]


class Metric(NamedTuple):
    """What a row of a search reports of each output."""

    name: str
    value: Value
    share: float
    """Part of the output's tokens that it takes."""
    oracle: bool


def metrics_of(config: SearchConfig, cell: Cell, pass_at: Iterable[int] = ()) -> list[Metric]:
    """What the rows of a search are: the mean mark of its answers; for several answers also if any is right.

    Of plain samples also pass@k for the k that are asked for, each the unbiased estimate of arXiv 2107.03374.
    """
    samples = config.num_samples if isinstance(config, SampleConfig) else 1
    found = [Metric(cell.search, _mean_mark, 1 / samples, cell.oracle)]
    if isinstance(config, SampleConfig):
        for k in sorted({*(k for k in pass_at if k <= samples), *((samples,) if samples > 1 else ())}):
            found.append(Metric(config.at(k), _pass_at(k), k / samples, True))
    elif config.bound is not None:
        found.append(Metric(config.bound, lambda line: float(any(line.marks)), 1.0, True))
    return found


def measure(
    cell: Cell, config: SearchConfig, runs: Runs, tasks: Mapping[str, str], pass_at: Iterable[int] = ()
) -> list[Measured]:
    """The rows of one cell.

    Args:
        cell: policy, search and split.
        config: the search's section.
        runs: its outputs.
        tasks: kind of each problem, by its id.
        pass_at: further k for pass@k.
    """
    return [_measured(cell, metric, runs, tasks, _curve(config, runs)) for metric in metrics_of(config, cell, pass_at)]


def _measured(cell: Cell, metric: Metric, runs: Runs, tasks: Mapping[str, str], curve: Mapping[str, Any]) -> Measured:
    values = [[metric.value(line) for line in lines] for lines in runs]
    problems = tuple(line.problem for line in runs[0])
    means = tuple(sum(column) / len(column) for column in zip(*values, strict=True))
    accuracy = hierarchical_interval(values)
    everything = [line for lines in runs for line in lines]
    by_task: dict[str, list[float]] = {}
    for problem, value in zip(problems, means, strict=True):
        by_task.setdefault(tasks[problem], []).append(value)
    row = ResultRow(
        policy=cell.policy,
        search=metric.name,
        split=cell.split,
        accuracy=accuracy.mean,
        ci_low=accuracy.low,
        ci_high=accuracy.high,
        n=len(problems),
        tokens_per_problem=sum(line.generated for line in everything) / len(everything) * metric.share,
        oracle=metric.oracle,
        seeds=len(runs),
        seed_std=statistics.stdev(sum(line) / len(line) for line in values) if len(runs) > 1 else None,
        extra={
            "scored_per_problem": sum(line.scored for line in everything) / len(everything) * metric.share,
            "tasks": {task: sum(v) / len(v) for task, v in sorted(by_task.items())},
            "outcomes": outcomes_of(everything),
            **(curve if metric.oracle else {}),
            **mean_stats(everything),
        },
    )
    return Measured(row, means, problems)


def mean_stats(lines: Sequence[OutputLine]) -> dict[str, float]:
    """What the searches tell about themselves, each the mean over those that tell it."""
    told: dict[str, list[float]] = {}
    for line in lines:
        for name, value in line.stats.items():
            told.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in sorted(told.items())}


def _curve(config: SearchConfig, runs: Runs) -> dict[str, Any]:
    """pass@k at all powers of two, for plain samples: they need the ground truth to choose, and their name says so."""
    if not isinstance(config, SampleConfig) or config.num_samples < 2:
        return {}
    most = config.num_samples
    ks = [*(1 << i for i in range(most.bit_length()) if 1 << i < most), most]
    lines = [line for run in runs for line in run]
    return {"oracle_pass_at_k": {str(k): sum(map(_pass_at(k), lines)) / len(lines) for k in ks}}


def outcomes_of(lines: Iterable[OutputLine]) -> dict[str, int]:
    """How many answers ended how."""
    found: dict[str, int] = {}
    for line in lines:
        for outcome in line.outcomes:
            found[outcome] = found.get(outcome, 0) + 1
    return dict(sorted(found.items()))


def _mean_mark(line: OutputLine) -> float:
    return sum(line.marks) / len(line.marks) if line.marks else 0.0


def _pass_at(k: int) -> Value:
    return lambda line: pass_at_k(len(line.marks), sum(mark == 1 for mark in line.marks), k)
