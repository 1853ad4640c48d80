"""Errors a user can act on: each carries where, what and what to do, and maps to one exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self


class O1kitError(Exception):
    """Base of every expected failure; `exit_code` is what the command line returns."""

    exit_code = 1
    where = ""
    """The place that the message begins with, as `at` was told it."""

    def at(self, where: str) -> Self:
        """The same error, told with a place such as `file:line:column: recipe.path`."""
        found = type(self)(f"{where}: {self}")
        found.where = where
        return found


class RecipeError(O1kitError):
    """The recipe is wrong: the message holds file:line:column, the recipe path and the nearest valid choice."""

    exit_code = 2

    def __init__(self, message: str = "", faults: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)
        """What is wrong, one by one (`o1kit.recipe.source.Fault`), where the message is made of several."""


class EnvironmentFailure(O1kitError):
    """The machine or the installation lacks something: an unwritable folder, a missing package."""

    exit_code = 3


class RewardFailure(O1kitError):
    """A reward could not judge a chain: its worker died, its server did not answer, its reply made no sense."""

    exit_code = 6

    def __init__(self, message: str = "", outcome: Literal["error", "timeout"] = "error") -> None:
        super().__init__(message)
        self.outcome = outcome


class DataError(O1kitError):
    """Data is missing, empty or malformed, or does not fit the model."""

    exit_code = 4


class DivergedError(O1kitError):
    """Training produced a non-finite loss or left its trust region for good."""

    exit_code = 5


class ResourceError(O1kitError):
    """Out of disk, memory or another bounded resource."""

    exit_code = 6
