"""Texts of the environment that a recipe uses, kept out of messages and files as long as the process lives."""

from __future__ import annotations

import os
import re

SHORTEST = 6
"""Shorter texts are no secrets, and would be found in many words."""
_known: dict[str, str] = {}


def remember(value: object, written: str) -> None:
    """Takes note of a value that must be shown as it is written: `${env:NAME}`.

    A path is also known as it looks once it is normalised: `./a//b` as `a/b`.
    """
    if not isinstance(value, str):
        return
    normalised = re.sub(r"^(\.\./)+", "", os.path.normpath(value)) if "/" in value else value
    for form in (normalised, value):
        if len(form) >= SHORTEST:
            _known[form] = written


def hide(text: str) -> str:
    """The text with every known value replaced by how it is written; the longest first."""
    for value in sorted(_known, key=len, reverse=True):
        if value in text:
            text = text.replace(value, _known[value])
    return text


def reveal(text: str) -> str:
    """The text with the values of the variables that it names: what `hide` made of a path, as the path."""
    return re.sub(r"\$\{env:(\w+)\}", lambda found: os.environ.get(found[1], found[0]), text)
