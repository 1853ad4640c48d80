"""`Node`: a value with the place where it was written, from the moment it is read until a recipe is composed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
"""Keys and list positions from the top of a recipe."""

UNSET, REPLACE = "!unset", "!replace"
"""The two tags that a composed recipe may hold; they say how a value meets the inherited one."""
_FIRST = re.compile(r"[^.\[\]]+")
_NEXT = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


@dataclass(slots=True)
class Node:
    """A scalar, a dict of nodes or a list of nodes."""

    value: Any
    place: str
    """`file:line:col`, or `--set text`."""
    key: str = ""
    """The place of its key."""
    tag: str = ""
    text: str | None = None
    """How an unquoted scalar is written: what a text field takes of `--set name=123`."""
    public: str | None = None
    """How a value with a secret, or with a literal `${`, is written down; None: as it is."""
    secret: bool = False
    """True for what holds a value of the environment."""
    unfollowed: bool = False
    """True for a value that still names what could not be put in its place."""


def show(path: Path) -> str:
    """`stages[1].labels.kind`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


class Places:
    """Where the values of a recipe were written. All are equal: recipes do not differ by where they are written."""

    def __init__(self, places: Mapping[Path, str] | None = None) -> None:
        self._places = dict(places or {})

    def nearest(self, path: Path) -> str:
        """The place of a path, or of the nearest that it is in; empty where none is known."""
        found = (self._places.get(path[:end], "") for end in range(len(path), -1, -1))
        return next(filter(None, found), "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places)

    def __hash__(self) -> int:
        return hash(Places)


def steps(text: str) -> tuple[list[str], int]:
    """The parts of `stages.sft.steps` or `stages[0].steps`, and how many characters of the text they make sense of."""
    match = _FIRST.match(text)
    found: list[str] = []
    end = 0
    while match is not None:
        found.append(next(filter(None, match.groups()), match[0]))
        end = match.end()
        match = _NEXT.match(text, end)
    return found, end


def index_of(items: list[Node], part: str) -> int | None:
    """The position that a number, or the name of an entry, stands for."""
    if part.isdecimal() and len(part) < 10 and int(part) < len(items):
        return int(part)
    names = entry_names(items)
    return names.index(part) if part in names else None


def entry_names(items: list[Node]) -> list[str | None]:
    """The `name` of each entry of a list; None where it has none."""
    names: list[str | None] = []
    for item in items:
        name = item.value.get("name") if isinstance(item.value, dict) else None
        names.append(name.value if name is not None and isinstance(name.value, str) else None)
    return names


def walk(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every node with its path, parents first."""
    waiting = [(path, node)]
    while waiting:
        path, node = waiting.pop()
        yield path, node
        if isinstance(node.value, dict):
            waiting += [((*path, key), child) for key, child in reversed(node.value.items())]
        elif isinstance(node.value, list):
            waiting += [((*path, i), node.value[i]) for i in reversed(range(len(node.value)))]


def copied(node: Node) -> Node:
    """The same again, none of it shared."""
    value = node.value
    if isinstance(value, dict):
        value = {key: copied(child) for key, child in value.items()}
    elif isinstance(value, list):
        value = [copied(child) for child in value]
    return Node(value, node.place, node.key, node.tag, node.text, node.public, node.secret, node.unfollowed)


def written(node: Node) -> Any:
    """The plain data as it may be written down: no value of the environment in it, and it reads back as the same."""
    if isinstance(node.value, dict):
        return {key: written(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [written(child) for child in node.value]
    return node.value if node.public is None else node.public


def actual(node: Node, *, hidden: bool = False) -> Any:
    """The plain data as it is meant; `hidden` makes of each secret a value that shows itself as it is written."""
    if isinstance(node.value, dict):
        return {key: actual(child, hidden=hidden) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [actual(child, hidden=hidden) for child in node.value]
    if not (hidden and node.secret):
        return node.value
    kinds: dict[type, Any] = {str: _Text, int: _Integer, float: _Number}
    made = kinds.get(type(node.value), lambda value: value)(node.value)
    if made is not node.value:
        made.written = node.public
    return made


class _Hidden:
    """A value that shows itself as it is written: messages about it do not tell it."""

    written: str | None = None

    def __repr__(self) -> str:
        return repr(self.written)

    __str__ = __repr__


class _Text(_Hidden, str):
    pass


class _Integer(_Hidden, int):
    pass


class _Number(_Hidden, float):
    pass
