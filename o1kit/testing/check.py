"""`Check`: one thing that a plugin must keep to: what it is called, why it matters, what to do where it is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from o1kit.testing.subject import Subject


class Nonconforming(AssertionError):
    """A plugin breaks a check. The message says what was found, why it matters and what to repair."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check. Calling it with a subject raises `Nonconforming` where the subject breaks it."""

    name: str
    why: str
    """Why it matters, in one line."""
    fix: str
    """What to do about it."""
    body: Callable[[Subject], str | None]
    """Returns what is wrong, or None."""

    def __call__(self, subject: Subject) -> None:
        """Runs the check.

        Raises:
            Nonconforming: the subject breaks it, or raises where it should not.
        """
        __tracebackhide__ = True
        try:
            found = self.body(subject)
        except Exception as error:
            text = f"{subject} raised {type(error).__name__}: {error}"
            raise Nonconforming(self._told(text)) from error
        if found is not None:
            raise Nonconforming(self._told(f"{subject}: {found}"))

    def _told(self, found: str) -> str:
        return f"{self.name}: {found}\n  why: {self.why}\n  fix: {self.fix}"


def check(why: str, fix: str) -> Callable[[Callable[[Subject], str | None]], Check]:
    """Makes a check of a function, named after it."""

    def made(body: Callable[[Subject], str | None]) -> Check:
        return Check(body.__name__, why, fix, body)

    return made
