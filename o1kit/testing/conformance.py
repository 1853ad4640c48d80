"""Classes of tests for pytest: one test for each check of a kind.

from o1kit.testing import conformance

TestMine = conformance.search("my_kind", {"num_samples": 4})
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from o1kit.errors import RecipeError
from o1kit.registry import suggestion
from o1kit.testing.check import Check
from o1kit.testing.subject import Subject

GROUPS = ("searches", "rewards", "tasks", "engines")
"""The groups that have checks; the module of each is called like it."""


def checks_of(group: str) -> tuple[Check, ...]:
    """All checks of a group.

    Raises:
        RecipeError: the group has none.
    """
    if group not in GROUPS:
        raise RecipeError(f"there are no checks for {group!r}.{suggestion(group, list(GROUPS))}")
    found: tuple[Check, ...] = importlib.import_module(f"o1kit.testing.{group}").CHECKS
    return found


def search(kind: str, options: Mapping[str, Any] | None = None, base: Path = Path()) -> type:
    """Tests of a search.

    Args:
        kind: its name in recipes.
        options: the rest of its section; choose few samples, so that the tests are quick.
        base: folder that relative paths in the options start from.
    """
    return _tests(Subject("searches", kind, options or {}, base))


def reward(kind: str, options: Mapping[str, Any] | None = None, base: Path = Path()) -> type:
    """Tests of a reward. A `model` in its options may have any name: it is the kit's own reward model."""
    return _tests(Subject("rewards", kind, options or {}, base))


def task(kind: str, options: Mapping[str, Any] | None = None, base: Path = Path()) -> type:
    """Tests of a source of problems."""
    return _tests(Subject("tasks", kind, options or {}, base))


def engine(kind: str, options: Mapping[str, Any] | None = None, base: Path = Path()) -> type:
    """Tests of an engine that computes with weights in this process."""
    return _tests(Subject("engines", kind, options or {}, base))


def _tests(subject: Subject) -> type:
    """A class with one method a check."""
    body: dict[str, Any] = {f"test_{check.name}": _method(check, subject) for check in checks_of(subject.group)}
    body["__doc__"] = f"What {subject} has to keep to."
    return type("Conformance", (), body)


def _method(check: Check, subject: Subject) -> Callable[[Any], None]:
    def method(self: object) -> None:
        check(subject)

    method.__doc__ = check.body.__doc__
    return method
