"""How faults are told: each with its place, the line it is in, and a caret under the place; or as data."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from o1kit.errors import O1kitError, RecipeError
from o1kit.functional.printable import printable
from o1kit.functional.secrets import hide
from o1kit.recipe.source import OPTION, Fault, Source, meant, show

MAX_FAULTS = 20
"""Most faults that are told at once: nobody reads more."""
WIDTH = 100
"""Most characters of a line that are shown."""
LONGEST = 1000
"""Most characters of a message."""
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def failure(source: Source) -> RecipeError:
    """The error that tells all faults of a source, in the order in which they are written."""
    order = {name: i for i, name in enumerate(source.texts)}
    faults = sorted(source.faults, key=lambda f: (order.get(f.file or "", len(order)), f.line or 0, f.column or 0))
    lines = {name: _BREAK.split(text) for name, text in source.texts.items()}
    told = [_told(fault, lines) for fault in faults[:MAX_FAULTS]]
    if len(faults) > MAX_FAULTS:
        told.append(f"... and {len(faults) - MAX_FAULTS} more")
    return RecipeError("\n".join(told), faults)


def as_data(error: O1kitError, file: str = "") -> list[dict[str, Any]]:
    """The faults of an error for programs; of one that has none, its message with the file it is about."""
    faults = getattr(error, "faults", ()) or [_placed(error, file)]
    return [
        {
            "file": fault.file,
            "line": fault.line,
            "column": fault.column,
            "place": fault.place or None,
            "path": show(fault.path),
            "message": fault.message.partition(f"\n    {OPTION}")[0],
            "suggestion": fault.suggestion or meant(fault.message),
        }
        for fault in faults
    ]


def _placed(error: O1kitError, file: str) -> Fault:
    """The one fault of an error that tells its place in words, or none."""
    place, _, path = error.where.rpartition(": ")
    message = str(error).removeprefix(f"{error.where}: ") if error.where else str(error)
    return Fault(place or file, (path,) if path else (), hide(message))


def _told(fault: Fault, lines: dict[str, list[str]]) -> str:
    """One fault with the line that it is in."""
    text = str(fault)
    head = printable(text if len(text) <= LONGEST else f"{text[:LONGEST]}...")
    if not fault.place.startswith(OPTION):  # what an option says is shown with the message
        head = head.replace("\n", "\\n")
    rows: Sequence[str] = lines.get(fault.file or "", ())
    if fault.line is None or fault.column is None or not 0 < fault.line <= len(rows):
        return head
    shown, caret = excerpt(rows[fault.line - 1], fault.column)
    number = f"{fault.line:>6} | "
    return f"{head}\n{number}{shown}\n{' ' * (len(number) - 2)}| {caret}"


def excerpt(line: str, column: int) -> tuple[str, str]:
    """A line as it can be printed, and a line with a caret under one of its columns (counted from 1)."""
    start = max(0, column - 1 - WIDTH // 2) if len(line) > WIDTH else 0
    cut = line[start : start + WIDTH]
    before, rest = _visible(cut[: column - 1 - start]), _visible(cut[column - 1 - start :])
    left, right = "..." if start else "", "..." if start + WIDTH < len(line) else ""
    return f"{left}{before}{rest}{right}".rstrip(), " " * _cells(left + before) + "^"


def _visible(text: str) -> str:
    return printable(text.replace("\t", " ")).replace("\n", "\\n")


def _cells(text: str) -> int:
    """How wide a text is on a terminal."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) != 0 for letter in text)
