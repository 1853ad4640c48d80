"""The answers of chains as they count: equal ones are one, however they are written."""

from __future__ import annotations

from collections.abc import Sequence

from o1kit.functional.voting import unified
from o1kit.types import Trajectory


def voices(chains: Sequence[Trajectory]) -> list[str | None]:
    """The answer of each chain of one problem, in the words of the first chain that gives an equal one."""
    return unified([t.answer for t in chains], chains[0].state.problem.alike if chains else None)
