"""Names of files that come from a stranger: which ones are written at all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from o1kit.errors import DataError

TYPES = (".yaml", ".yml", ".json", ".jsonl", ".md", ".lock")
"""Endings of the files that a shared recipe is made of: text, none of it code."""
MAX_NAME = 200
MAX_DEPTH = 8
_PART = re.compile(r"\w[\w.+ -]*")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def safe_name(name: str, types: tuple[str, ...] = TYPES) -> str:
    """The name, relative and with `/`, if it can be written anywhere without harm.

    Raises:
        DataError: it is absolute, leads out of its folder, is hidden, or of a type that recipes are not made of.
    """
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise DataError(f"{name!r}: leads out of its folder. Take the recipe from somebody else.")
    if len(name.encode()) > MAX_NAME or len(parts) > MAX_DEPTH:
        raise DataError(f"{name[:60]!r}...: this name is too long or nested too deeply for a part of a recipe.")
    for part in parts:
        usable = _PART.fullmatch(part) and part.isprintable() and not part.endswith((".", " "))
        if not usable or part.split(".")[0].lower() in _RESERVED:
            raise DataError(f"{name!r}: is no plain file name. Letters, digits and . _ + - are, not at the beginning.")
    if PurePosixPath(name).suffix.lower() not in types:
        raise DataError(f"{name!r}: recipes are made of {', '.join(types)} files, and of no others.")
    return name


def distinct(names: Iterable[str]) -> None:
    """Makes sure that the names are different files on every file system, and none is a folder of another.

    Raises:
        DataError: two are the same, or are so where case or Unicode form does not count.
    """
    folded: dict[str, str] = {}
    for name in names:
        key = fold(name)
        if key in folded:
            raise DataError(f"{name!r} and {folded[key]!r} are the same file on some systems. Rename one of them.")
        folded[key] = name
    for name in folded.values():
        for parent in PurePosixPath(fold(name)).parents:
            if str(parent) in folded:
                raise DataError(f"{folded[str(parent)]!r} is a file and the folder of {name!r}. Rename one of them.")


def fold(name: str) -> str:
    """The name as the least particular file systems see it."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
