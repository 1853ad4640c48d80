"""Text of unknown origin on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with control characters written out: a model's, or a file's, never moves the cursor or sets a title."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """The same on one line: what a file says never looks like a line of ours."""
    return printable(text).replace("\n", "\\n")
