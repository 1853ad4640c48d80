"""The tests that `--o1kit-plugin` selects; see `o1kit.testing.pytest_plugin`."""

from __future__ import annotations

from o1kit.testing.check import Check
from o1kit.testing.subject import Subject


def test_conforms(o1kit_check: Check, o1kit_subject: Subject) -> None:
    """One check of one kind."""
    o1kit_check(o1kit_subject)
