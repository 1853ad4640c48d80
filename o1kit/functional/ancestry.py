"""What something was made from, directly or through others."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def ancestors(names: Iterable[str], made_from: Callable[[str], Iterable[str]]) -> set[str]:
    """The names themselves, and all that they lead to."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += made_from(name)
    return found
