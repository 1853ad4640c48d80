"""YAML text as data with the place of every key and value. Safe by construction: no objects, bounded, no merges.

Numbers and words are read as YAML 1.2 does: `1e-5` is a number, `on` and `no` are words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from o1kit.recipe.nodes import REPLACE, UNSET, Node, Path, actual, show, walk, written

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "Fault", "Path", "Source", "parse", "scalar", "show"]

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_NODES = 10_000
"""A second's work; the largest recipe that is shipped has some hundreds."""
OPTION = "--set "
"""How the place of what the command line says begins."""
MIN_SECRET = 4
"""Shorter values of the environment are not looked for in messages: they would be found in all of them."""
_PLACE = re.compile(r"(.*):([0-9]+):([0-9]+)", re.DOTALL)
_MEANT = re.compile(r"Did you mean '([^']*)'\?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OF_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_NOT_FINITE = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_YAML = "tag:yaml.org,2002:"
_TAGGED: dict[str, tuple[type, str]] = {
    f"{_YAML}str": (str, "a text"),
    f"{_YAML}int": (int, "a whole number"),
    f"{_YAML}float": (float, "a number"),
    f"{_YAML}bool": (bool, "true or false"),
    f"{_YAML}null": (type(None), "null"),
    f"{_YAML}seq": (list, "a list"),
    f"{_YAML}map": (dict, "a section"),
}
"""What each of YAML's tags makes of what follows it, quoted or not."""


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
        if self.place.startswith(OPTION):
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
    root: Node | None = None
    """The same as nodes."""
    texts: dict[str, str] = field(default_factory=dict)
    """The text of each file that was read, by the name that places begin with."""
    partial: bool = False
    """True if a file could not be read, which is among the faults: what is not there may be in that."""
    based: bool = False
    """True if the recipe and all that it extends could be read: only an overlay may be missing."""
    removed: dict[Path, str] = field(default_factory=dict)
    """Where `!unset` stands that took out what was at a path."""
    _secrets: list[Node] = field(default_factory=list)

    def place(self, path: Path, *, key: bool = False) -> str:
        """Where a path is written: `file:line:col` or `--set text`; empty for what is a default."""
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        return first.get(path) or second.get(path, "")

    def nearest(self, path: Path, *, key: bool = False) -> str:
        """Where a path is written; for one that is not written, where its nearest parent is."""
        places = (self.place(path[:end], key=key) for end in range(len(path), -1, -1))
        return next(filter(None, places), self.name)

    def fault(self, path: Path, message: str, *, key: bool = False, suggestion: str | None = None) -> None:
        """Notes what is wrong at a path, and the nearest valid key or value.

        A value of the environment in the message is shown as it is written.
        """
        place, message = self.nearest(path, key=key), self.hide(message)
        if place.startswith(OPTION):
            name = place.partition("=")[0]
            column = name.rfind(str(path[-1])) if key and path else len(name) + 1
            message += option_caret(place, max(column, len(OPTION)) - len(OPTION))
        self.faults.append(Fault(place, path, message, meant(message) if suggestion is None else suggestion))

    def hide(self, message: str) -> str:
        """The message with `${env:NAME}` in place of what the variable holds."""
        for node in self._secrets:
            value = str(node.value)
            if len(value) >= MIN_SECRET:
                for shown in {value, repr(value)[1:-1]}:
                    pieces = re.split(rf"(?<!\w){re.escape(shown)}(?!\w)", message)
                    message = (node.public or "").join(pieces)
        return message

    def settle(self, root: Node) -> None:
        """Takes over what the nodes say."""
        self.root, self.data = root, written(root)
        self.keys = self.removed | {path: node.key for path, node in walk(root) if node.key}
        self.values = {path: node.place for path, node in walk(root)}
        self._secrets = [node for _, node in walk(root) if node.secret]

    def actual(self, *, hidden: bool = False) -> Any:
        """The data with the values of the environment; `hidden` makes them show themselves as they are written."""
        return actual(self.root, hidden=hidden) if self.root is not None else self.data


def meant(message: str) -> str | None:
    """The key or value that a message says was meant; None if it says none."""
    found = _MEANT.search(message)
    return found[1] if found else None


def option_caret(option: str, column: int) -> str:
    """The text of a `--set` with a mark under a column of what follows it; nothing where that would not fit."""
    if len(option) > 200 or not option.isprintable():
        return ""
    return f"\n    {option}\n    {' ' * (len(OPTION) + column)}^"


def value_caret(place: str) -> str:
    """The same under the value of a `--set`, by the place that its value has; nothing for a place in a file."""
    return option_caret(place, place.index("=") + 1 - len(OPTION)) if place.startswith(OPTION) else ""


def parse(text: str, name: str, *, operators: bool = False) -> Source:
    """Reads YAML; what is wrong with it is in `faults`. With `operators` the tags `!unset` and `!replace` are read."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    from o1kit.recipe.bounded import composed

    text = text.removeprefix("\ufeff")
    source = Source(name, texts={name: text})
    refused = _unreadable(text, name)
    if refused is not None:
        source.faults.append(refused)
        return source
    try:
        root = composed(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        what = " ".join(filter(None, (error.context, error.problem)))
        source.faults.append(Fault(place, (), f"not valid YAML: {what}. Check indentation, quotes and brackets."))
        return source
    except (YAMLError, ValueError, RecursionError, AssertionError, LookupError, TypeError) as error:  # ruamel's, too
        first = str(error).splitlines()[0] if str(error) else "nested too deeply"
        source.faults.append(Fault(name, (), f"not valid YAML: {first}"))
        return source
    if root is None:
        source.faults.append(Fault(name, (), "the file is empty. Start from one of o1kit's: o1kit recipe new NAME."))
        return source
    reader = _Reader(source, lambda mark: f"{name}:{mark.line + 1}:{mark.column + 1}", operators)
    made = reader.read(root)
    if reader.count <= MAX_NODES:  # what is left of one that is too large says nothing
        source.settle(made)
    return source


def _unreadable(text: str, name: str) -> Fault | None:
    """What is wrong with a text before it is looked at as YAML."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        return Fault(name, (), f"the file is larger than {MAX_BYTES} bytes: this is not a recipe.")
    found = _CONTROL.search(text)
    if found is None:
        return None
    line = text.count("\n", 0, found.start()) + 1
    column = found.start() - text.rfind("\n", 0, found.start())
    message = f"the character U+{ord(found[0]):04X} is not allowed. Remove it, or write it as an escape in quotes."
    return Fault(f"{name}:{line}:{column}", (), message)


def scalar(text: str) -> Any:
    """A plain (unquoted) scalar as YAML 1.2's core schema reads it."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= 30 else float(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if len(text) <= 30 and _OF_OTHER_BASE.fullmatch(text):
        return int(text, 0)
    return _NOT_FINITE.get(text.lower(), text)


def _whole(text: str) -> str | None:
    """A text whose surrogates are put together to characters, as JSON writes them; None where a half is missing."""
    if not _SURROGATE.search(text):
        return text
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        return None


class _Reader:
    """Walks the composed nodes once; aliases count at every use, so none can blow up."""

    def __init__(self, source: Source, place: Callable[[Any], str], operators: bool) -> None:
        from ruamel.yaml.resolver import BaseResolver

        self.source, self.place, self.count, self.operators = source, place, 0, operators
        self._untagged = BaseResolver.DEFAULT_SCALAR_TAG  # this very object, where none is written

    def read(self, root: Any) -> Node:
        return self._node(root, (), "")

    def _node(self, node: Any, path: Path, key: str) -> Node:
        made = Node(None, self.place(node.start_mark), key)
        self.count += 1
        if self.count > MAX_NODES or len(path) > MAX_DEPTH:
            if self.count <= MAX_NODES + 1:
                message = "nested too deeply or too large. Remove anchors that refer to themselves."
                self.source.faults.append(Fault(made.place, path[:4], message))
            self.count = max(self.count, MAX_NODES + 1)
            return made
        tag = str(node.tag)
        if self.operators and tag in (UNSET, REPLACE):
            made.tag = tag
            self._operand(node, made, path)
        elif tag not in _TAGGED:
            message = f"the tag {node.tag} is not allowed: a recipe is plain data. Remove it."
            self.source.faults.append(Fault(made.place, path, message))
            return made
        if isinstance(node.value, str):
            text = _whole(node.value)
            if text is None:
                message = "holds half of a character (a lone surrogate). Write the whole character."
                self.source.faults.append(Fault(made.place, path, message))
                return made
            self._scalar(node, made, text)
        elif node.id == "mapping":
            made.value = self._mapping(node, path)
        else:
            made.value = [self._node(item, (*path, i), "") for i, item in enumerate(node.value)]
        if tag in _TAGGED and type(made.value) is not _TAGGED[tag][0] and node.ctag is not self._untagged:
            text = f"the tag !!{tag.removeprefix(_YAML)} needs {_TAGGED[tag][1]}. Remove the tag, or change the value."
            self.source.faults.append(Fault(made.place, path, text))
            made.value = made.text = None
        return made

    def _scalar(self, node: Any, made: Node, text: str) -> None:
        """Reads a single value: as its tag says, else as it looks if it is not quoted."""
        tagged = str(node.tag) in _TAGGED and node.ctag is not self._untagged
        if not tagged:
            made.value = scalar(text) if node.style is None else text
            made.text = text if node.style is None else None
        elif _TAGGED[str(node.tag)][0] is str:
            made.value = text
        else:
            value = scalar(text)
            whole = type(value) is int and _TAGGED[str(node.tag)][0] is float
            made.value = float(value) if whole else value

    def _operand(self, node: Any, made: Node, path: Path) -> None:
        """Adds a fault for a tag on what it is not for."""
        if made.tag == UNSET and node.value:
            message = f"`{UNSET}` stands alone: it removes what is inherited. Leave out what follows it."
            self.source.faults.append(Fault(made.place, path, message))
        if made.tag == REPLACE and node.id != "mapping":
            message = f"`{REPLACE}` is for maps; lists and single values replace what is inherited in any case."
            self.source.faults.append(Fault(made.place, path, f"{message} Remove the tag."))

    def _mapping(self, node: Any, path: Path) -> dict[str, Node]:
        data: dict[str, Node] = {}
        for key_node, value_node in node.value:
            place = self.place(key_node.start_mark)
            if not isinstance(key_node.value, str):
                self.source.faults.append(Fault(place, path, "a key must be a word."))
                continue
            key = _whole(key_node.value)
            if key is None:
                message = "the key holds half of a character (a lone surrogate). Write the whole character."
                self.source.faults.append(Fault(place, path, message))
                continue
            if key in data:
                message = f"the key {key!r} is already at {data[key].key}. Keep one of them."
                self.source.faults.append(Fault(place, (*path, key), message))
                continue
            data[key] = self._node(value_node, (*path, key), place)
        return data
