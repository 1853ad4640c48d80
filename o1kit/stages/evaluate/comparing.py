"""Rows against rows on the same problems: which differences are more than luck."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from o1kit.functional.significance import holm, paired
from o1kit.report.results import Comparison
from o1kit.stages.evaluate.config import BaselineConfig
from o1kit.stages.evaluate.measuring import Measured

GREEDY = "greedy"
Name = tuple[str, str, str]
"""Policy, search and split."""


def compare(measured: Sequence[Measured], baseline: BaselineConfig | None, policies: Sequence[str]) -> list[Comparison]:
    """All comparisons of an evaluation, their p values corrected for the number of them.

    Args:
        measured: its rows, in the order of the table. Those that used the ground truth are compared with nothing.
        baseline: the row to compare with; None: `greedy` of the same policy, and the same search of the policy before.
        policies: the policies, in the order of the table.
    """
    rows = {(m.row.policy, m.row.search, m.row.split): m for m in measured if not m.row.oracle}
    pairs = [
        (name, base) for name in rows for base in _bases(name, baseline, policies) if base in rows and base != name
    ]
    return corrected([against(rows[name], rows[base]) for name, base in dict.fromkeys(pairs)])


def against(first: Measured, second: Measured) -> Comparison:
    """One row against another, on the problems that both have; not corrected yet."""
    mine, theirs = (dict(zip(m.problems, m.values, strict=True)) for m in (first, second))
    shared = [name for name in mine if name in theirs]
    found = paired([mine[name] for name in shared], [theirs[name] for name in shared])
    row, base = first.row, second.row
    return Comparison(
        row.policy,
        row.search,
        row.split,
        base.policy,
        base.search,
        found.difference.mean,
        found.difference.low,
        found.difference.high,
        found.better,
        found.worse,
        found.p,
        found.p,
        len(shared),
    )


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons as one family: p values adjusted by Holm's method."""
    adjusted = holm([one.p for one in comparisons])
    return [replace(one, p_adjusted=p) for one, p in zip(comparisons, adjusted, strict=True)]


def between(first: Mapping[Name, Measured], second: Mapping[Name, Measured]) -> list[Comparison]:
    """The rows of one run against the same rows of another, where they have problems in common."""
    found = [against(first[name], second[name]) for name in first if name in second]
    return corrected([one for one in found if one.n])


def _bases(name: Name, baseline: BaselineConfig | None, policies: Sequence[str]) -> Iterator[Name]:
    policy, search, split = name
    if baseline is not None:
        yield baseline.policy or policy, baseline.search or search, split
        return
    yield policy, GREEDY, split
    place = policies.index(policy)
    if place:
        yield policies[place - 1], search, split
