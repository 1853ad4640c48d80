"""What reasoning_gym's generators are called and which options they take, known without importing the package.

`generators.json` is the table of one version of it, made by `python -m tests.tasks.generator_table`. Of another version
it may know too little: what it does not know there is for the package itself to judge, when a run is rehearsed.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

TABLE = Path(__file__).with_name("generators.json")
DISTRIBUTION = "reasoning-gym"
RESERVED = ("seed", "size")
"""Options of every generator that o1kit sets itself."""
ANY = "any"
"""The type of an option that nothing is known of."""
TYPES: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}
"""What a value may be, by the name of its type."""


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
"""The same comparison, read from right to left."""


class Comparison(NamedTuple):
    """What must hold of an option, beside a number or another option; `len(option)` is how many items it has."""

    left: str
    sign: str
    right: str | float

    @property
    def turned(self) -> Comparison:
        """The same, said of the other option."""
        return Comparison(str(self.right), TURNED[self.sign], self.left)

    @property
    def options(self) -> set[str]:
        """The options that it speaks of."""
        return {
            side.removeprefix("len(").removesuffix(")") for side in (self.left, self.right) if isinstance(side, str)
        }

    def holds(self, values: Mapping[str, Any]) -> bool:
        """True where it holds, or where a value is null or unknown."""
        left, right = value_of(self.left, values), value_of(self.right, values)
        return left is None or right is None or COMPARISONS[self.sign](left, right)


def value_of(side: str | float, values: Mapping[str, Any]) -> Any:
    """What one side of a comparison comes to; None where the option is null or unknown."""
    if not isinstance(side, str) or side in values:
        return values[side] if isinstance(side, str) else side
    items = values.get(side.removeprefix("len(").removesuffix(")"))
    return None if items is None else len(items)


@dataclass(frozen=True, slots=True)
class Table:
    """The generators of one version of reasoning_gym."""

    version: str
    generators: Mapping[str, Mapping[str, str]]
    """By name, the types of the options: `int`, `float`, `bool`, `str`, `a|b` for words, `list[int]`, and `any`. A `?`
    behind it: or null."""
    rules: Mapping[str, tuple[Comparison, ...]]
    """By name, what its options must be, and be to one another."""
    defaults: Mapping[str, Mapping[str, Any]]
    """By name, the defaults of the options that rules compare."""

    def values(self, name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """A generator's options with the defaults that are known."""
        return {**self.defaults.get(name, {}), **options}

    def broken(self, name: str, options: Mapping[str, Any]) -> list[Comparison]:
        """The rules that a generator's options do not hold."""
        values = self.values(name, options)
        return [rule for rule in self.rules.get(name, ()) if not rule.holds(values)]

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
    rules = {name: tuple(Comparison(*rule) for rule in found) for name, found in data["rules"].items()}
    return Table(data["version"], data["generators"], rules, data["defaults"])


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
