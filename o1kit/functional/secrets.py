"""Texts of the environment that a recipe uses, kept out of messages and files as long as the process lives."""

from __future__ import annotations

SHORTEST = 6
"""Shorter texts are no secrets, and would be found in many words."""
_known: dict[str, str] = {}


def remember(value: object, written: str) -> None:
    """Takes note of a value that must be shown as it is written: `${env:NAME}`."""
    if isinstance(value, str) and len(value) >= SHORTEST:
        _known[value] = written


def hide(text: str) -> str:
    """The text with every known value replaced by how it is written; the longest first."""
    for value in sorted(_known, key=len, reverse=True):
        if value in text:
            text = text.replace(value, _known[value])
    return text
