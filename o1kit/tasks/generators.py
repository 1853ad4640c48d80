"""What reasoning_gym's generators are called and which options they take, known without importing the package.

`generators.json` is the table of one version of it, made by `python -m tests.tasks.generator_table`. Of another version
it may know too little: what it does not know there is for the package itself to judge, when a run is rehearsed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("generators.json")
DISTRIBUTION = "reasoning-gym"
RESERVED = ("seed", "size")
"""Options of every generator that o1kit sets itself."""
ANY = "any"
"""The type of an option that nothing is known of."""
TYPES: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}
"""What a value may be, by the name of its type."""


@dataclass(frozen=True, slots=True)
class Table:
    """The generators of one version of reasoning_gym."""

    version: str
    generators: Mapping[str, Mapping[str, str]]
    """By name, the types of the options: `int`, `float`, `bool`, `str`, `a|b` for words, `list[int]`, and `any`. A `?`
    behind it: or null."""

    @property
    def judges(self) -> bool:
        """True where nothing else than this version is installed: what the table does not know is not there."""
        try:
            return version(DISTRIBUTION) == self.version
        except PackageNotFoundError:
            return True


@cache
def table() -> Table:
    """The shipped table."""
    data = json.loads(TABLE.read_text(encoding="utf-8"))
    return Table(data["version"], data["generators"])


def item_type(kind: str) -> str | None:
    """The type of a list's items; None for what is no list."""
    kind = kind.removesuffix("?")
    return kind[len("list[") : -1] if kind.startswith("list[") else None


def fits(value: Any, kind: str) -> bool:
    """True for a value that an option of this type may have; of a list, the items are not looked at."""
    plain = kind.removesuffix("?")
    if plain == ANY or (value is None and kind.endswith("?")):
        return True
    if item_type(kind) is not None:
        return isinstance(value, list | tuple)
    if plain in TYPES:
        return isinstance(value, TYPES[plain]) and (plain == "bool" or not isinstance(value, bool))
    return value in plain.split("|")
