"""The recipe section of the source `countdown`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from o1kit.tasks.config import SourceSection


class CountdownConfig(SourceSection):
    """The countdown numbers game: make a target from given numbers, each used once, with + - * / and parentheses.

    Every problem has a solution in whole numbers; any expression that hits the target is right.
    """

    kind: Literal["countdown"]
    """Selects this source."""
    num_numbers: Annotated[int, Field(ge=2, le=6)] = 3
    """How many numbers are given."""
    max_number: Annotated[int, Field(ge=2, le=99)] = 9
    """Largest given number; the smallest is 1."""
    max_target: Annotated[int, Field(ge=10, le=9999)] = 50
    """Largest target; the smallest is 1."""
