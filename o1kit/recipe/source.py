"""YAML text as plain data, with the place of every key and value. Safe by construction: no tags, bounded, no merges.

Numbers and words are read as YAML 1.2 does: `1e-5` is a number, `on` and `no` are words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]
"""Keys and list positions from the top of a recipe."""

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_NODES = 50_000
_PLACE = re.compile(r"(.*):([0-9]+):([0-9]+)", re.DOTALL)
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_NOT_FINITE = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and where: a place such as `file:3:5`, a recipe path, a message with a remedy."""

    place: str
    path: Path
    message: str
    suggestion: str | None = None
    """The nearest valid key or value, where there is one."""

    @property
    def file(self) -> str | None:
        """The file that it is in; None for what the command line says."""
        return self._parts[0]

    @property
    def line(self) -> int | None:
        """Its line in the file, from 1."""
        return self._parts[1]

    @property
    def column(self) -> int | None:
        """Its column in the line, from 1."""
        return self._parts[2]

    @property
    def _parts(self) -> tuple[str | None, int | None, int | None]:
        found = _PLACE.fullmatch(self.place)
        if self.place.startswith("--set"):
            return None, None, None
        return (found[1], int(found[2]), int(found[3])) if found else (self.place or None, None, None)

    def __str__(self) -> str:
        name = show(self.path)
        return f"{self.place}: {name}: {self.message}" if name else f"{self.place}: {self.message}"


@dataclass
class Source:
    """Parsed data; `keys` and `values` give the place of each path."""

    name: str
    data: Any = None
    """What is written, composed, without defaults; values from the environment stay `${env:NAME}`."""
    keys: dict[Path, str] = field(default_factory=dict)
    values: dict[Path, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    """The text of each file that was read, by the name that places begin with."""

    def place(self, path: Path, *, key: bool = False) -> str:
        """Where a path is written: `file:line:col` or `--set text`; empty for what is a default."""
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        return first.get(path) or second.get(path, "")

    def nearest(self, path: Path, *, key: bool = False) -> str:
        """Where a path is written; for one that is not written, where its nearest parent is."""
        places = (self.place(path[:end], key=key) for end in range(len(path), -1, -1))
        return next(filter(None, places), self.name)

    def fault(self, path: Path, message: str, *, key: bool = False, suggestion: str | None = None) -> None:
        """Notes what is wrong at a path, and the nearest valid key or value."""
        self.faults.append(Fault(self.nearest(path, key=key), path, message, suggestion))


def show(path: Path) -> str:
    """`stages[1].labels.kind`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def parse(text: str, name: str) -> Source:
    """Reads YAML; what is wrong with it is in `faults`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    source = Source(name, texts={name: text})
    if len(text.encode()) > MAX_BYTES:
        source.faults.append(Fault(name, (), f"the file is larger than {MAX_BYTES} bytes: this is not a recipe."))
        return source
    try:
        root = YAML(typ="rt", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        what = " ".join(filter(None, (error.context, error.problem)))
        source.faults.append(Fault(place, (), f"not valid YAML: {what}. Check indentation, quotes and brackets."))
        return source
    except (YAMLError, ValueError, RecursionError) as error:
        first = str(error).splitlines()[0] if str(error) else "nested too deeply"
        source.faults.append(Fault(name, (), f"not valid YAML: {first}"))
        return source
    if root is None:
        source.faults.append(Fault(name, (), "the file is empty. Start from recipes/quickstart.yaml."))
        return source
    _Reader(source, lambda mark: f"{name}:{mark.line + 1}:{mark.column + 1}").read(root)
    return source


def scalar(text: str) -> Any:
    """A plain (unquoted) scalar as YAML 1.2's core schema reads it."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= 30 else float(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return _NOT_FINITE.get(text.lower(), text)


class _Reader:
    """Walks the composed nodes once; aliases count at every use, so none can blow up."""

    def __init__(self, source: Source, place: Callable[[Any], str]) -> None:
        self.source, self.place, self.count = source, place, 0

    def read(self, root: Any) -> None:
        self.source.data = self._node(root, ())

    def _node(self, node: Any, path: Path) -> Any:
        self.source.values[path] = self.place(node.start_mark)
        self.count += 1
        if self.count > MAX_NODES or len(path) > MAX_DEPTH:
            if self.count <= MAX_NODES + 1:
                self.source.fault(path[:4], "nested too deeply or too large. Remove anchors that refer to themselves.")
            self.count = max(self.count, MAX_NODES + 1)
            return None
        if str(node.tag) not in _PLAIN_TAGS:
            self.source.fault(path, f"the tag {node.tag} is not allowed: a recipe is plain data. Remove it.")
            return None
        if isinstance(node.value, str):
            return scalar(node.value) if node.style is None else node.value
        if str(node.tag).endswith(":seq"):
            return [self._node(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._mapping(node, path)

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        first: dict[str, str] = {}
        for key_node, value_node in node.value:
            place = self.place(key_node.start_mark)
            if not isinstance(key_node.value, str):
                self.source.faults.append(Fault(place, path, "a key must be a word."))
                continue
            key = key_node.value
            if key in data:
                message = f"the key {key!r} is already at {first[key]}. Keep one of them."
                self.source.faults.append(Fault(place, (*path, key), message))
                continue
            first[key] = place
            self.source.keys[(*path, key)] = place
            data[key] = self._node(value_node, (*path, key))
        return data
