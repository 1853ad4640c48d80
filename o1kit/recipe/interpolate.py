"""`${path}` and `${env:NAME}` in the values of a recipe. Nothing is evaluated, and there are no defaults.

${stages.sft.steps}   the value that is written there, with its type; in a longer text its words
${env:HOST}           what the variable holds; it is used and never written down, see `o1kit.recipe.public`
$${                   a literal `${`
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from o1kit.nearest import nearest
from o1kit.recipe.nodes import Node, Path, copied, entry_names, index_of, show, steps, walk
from o1kit.recipe.source import MAX_BYTES, MAX_DEPTH, MAX_NODES, Fault, Source, scalar, value_caret
from o1kit.registry import suggestion

_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_CHAIN = 50
MAX_TEXT = 100_000
WRITTEN = {"o1kit", "name", "kind", "seed", "generator", "project", "entity", "ask", "search", "searches"}
"""Fields whose values are written into results, names of folders, titles and W&B: they are no place for a secret."""

NEVER = "and what comes from the environment never is. Write it out."


class _Refused(Exception):
    """A reference cannot be followed."""

    def __init__(self, message: str, meant: str | None = None) -> None:
        super().__init__(message)
        self.meant = meant


class _Missing(_Refused):
    """What a reference names is not there."""

    def __init__(self, message: str, meant: str | None, path: Path) -> None:
        super().__init__(message, meant)
        self.path = path


def interpolate(source: Source, environment: Mapping[str, str]) -> dict[str, str]:
    """Puts values in place of references; what cannot be followed is in the source's faults.

    Returns:
        How each value of the environment that is used is written.
    """
    if source.root is None:
        return {}
    resolver = _Resolver(source, source.root, environment)
    resolver.value(source.root, ())
    for path, node in walk(source.root):
        field = _public_field(path) if node.secret else None
        if field is not None:
            text = f"`{field}` is written into results, {NEVER}{value_caret(node.place)}"
            source.faults.append(Fault(node.place, path, text))
    source.settle(source.root)
    return resolver.used


def escaped(data: Any) -> Any:
    """Plain data as it is written in a recipe: with `$${` for each literal `${` of its texts."""
    if isinstance(data, Mapping):
        return {key: escaped(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [escaped(value) for value in data]
    return data.replace("${", "$${") if isinstance(data, str) else data


def _public_field(path: Path) -> str | None:
    """The field of a value that must be written down, if it is one: its own, or the section that names itself by it."""
    words = [part for part in path if isinstance(part, str)]
    return next((word for word in words if word in WRITTEN and (word == words[-1] or word.startswith("search"))), None)


class _Resolver:
    """Follows each reference once, what it refers to first."""

    def __init__(self, source: Source, root: Node, environment: Mapping[str, str]) -> None:
        self._source, self._root, self._environment = source, root, environment
        self.used: dict[str, str] = {}
        self._active: dict[int, Path] = {}
        self._done: set[int] = set()
        self._full = False  # what has grown too large is not looked at further
        self._nodes, self._characters = sum(1 for _ in walk(root)), 0

    def value(self, node: Node, path: Path) -> None:
        """Makes a value, and all in it, what it refers to."""
        if isinstance(node.value, str):
            self._text(node, path)
        elif isinstance(node.value, dict):
            for key, child in node.value.items():
                self.value(child, (*path, key))
        elif isinstance(node.value, list):
            for i, child in enumerate(node.value):
                self.value(child, (*path, i))

    def _text(self, node: Node, path: Path) -> None:
        if "${" not in node.value or id(node) in self._done:
            return
        if self._full:
            node.unfollowed = True
            return
        if id(node) in self._active:
            circle = [show(p) for p in self._active.values()]
            raise _Refused(f"the values refer to one another in a circle: {' -> '.join([*circle, circle[0]])}.")
        if len(self._active) >= MAX_CHAIN:
            raise _Refused(f"more than {MAX_CHAIN} values refer to one another. Write some of them out.")
        self._active[id(node)] = path
        try:
            self._replace(node, path)
        except _Refused as error:
            node.unfollowed = True
            if len(self._active) > 1:  # told once, where it begins
                raise
            if not (isinstance(error, _Missing) and self._may_be_there(error.path)):
                message = f"{error}{value_caret(node.place)}"
                self._source.faults.append(Fault(node.place, path, message, error.meant))
                node.value, node.text = None, None
        finally:
            del self._active[id(node)]
            self._done.add(id(node))

    def _may_be_there(self, path: Path) -> bool:
        """True if another fault, of what should have been written there, tells enough."""
        lengths = [(min(len(fault.path), len(path)), fault.path) for fault in self._source.faults]
        return self._source.partial or any(n and other[:n] == path[:n] for n, other in lengths)

    def _replace(self, node: Node, path: Path) -> None:
        whole = _TOKEN.fullmatch(node.value)
        if whole is not None and whole[1] is not None:
            self._whole(node, whole[1].strip(), path)
            return
        parts: list[Node] = []
        end = 0
        for match in _TOKEN.finditer(node.value):
            parts += [Node(node.value[end : match.start()], ""), self._part(match)]
            end = match.end()
        parts.append(Node(node.value[end:], ""))
        text = "".join(_words(part.value) for part in parts)
        self._characters += len(text)
        if len(text) > MAX_TEXT or self._characters > MAX_BYTES:
            self._full = True
            raise _Refused(f"becomes longer than {MAX_TEXT} characters.")
        node.public = "".join(part.public or escaped(_words(part.value)) for part in parts)
        node.secret = any(part.secret for part in parts)
        node.value, node.text = text, None

    def _whole(self, node: Node, name: str, path: Path) -> None:
        """A value that is one reference takes the type of what it refers to."""
        found = self._found(name)
        self._nodes += sum(1 for _ in walk(found))
        deepest = max(len(p) for p, _ in walk(found)) + len(path)
        if self._nodes > MAX_NODES or deepest > MAX_DEPTH:
            self._full = True
            raise _Refused("becomes nested too deeply or too large.")
        made = copied(found)
        node.value, node.text, node.public, node.secret = made.value, made.text, made.public, made.secret
        node.unfollowed = made.unfollowed

    def _part(self, match: re.Match[str]) -> Node:
        if match[0] == "$${":
            return Node("${", "")
        if match[1] is None:
            raise _Refused("`${` has no end. Write `${path}` or `${env:NAME}`, and `$${` for a literal `${`.")
        found = self._found(match[1].strip())
        if isinstance(found.value, dict | list) or found.value is None:
            what = "nothing" if found.value is None else "a section" if isinstance(found.value, dict) else "a list"
            raise _Refused(f"`{match[0]}` is {what}, which cannot be part of a text. Name a single value.")
        return found

    def _found(self, name: str) -> Node:
        prefix, colon, variable = name.partition(":")
        if colon:
            return self._variable(prefix, variable)
        parts, end = steps(name)
        if not parts or end < len(name):
            raise _Refused(f"`${{{name}}}` is no path. Write it like `${{stages.sft.steps}}` or `${{env:NAME}}`.")
        node, path = self._root, Path()
        for part in parts:
            self._reach(node, path)
            node, path = _step(node, path, part)
        self.value(node, path)
        return node

    def _reach(self, node: Node, path: Path) -> None:
        """What lies on the way may itself be a reference."""
        if isinstance(node.value, str):
            self._text(node, path)

    def _variable(self, prefix: str, variable: str) -> Node:
        if prefix != "env" or not _NAME.fullmatch(variable):
            raise _Refused(f"`${{{prefix}:{variable}}}` is not known. Write `${{env:NAME}}` or `${{path}}`.")
        value = self._environment.get(variable)
        if value is None:
            raise _Refused(f"the environment variable {variable} is not set. Set it: export {variable}=...")
        if len(value) > MAX_TEXT or not value.isprintable():
            raise _Refused(f"the environment variable {variable} holds line breaks or characters that are no text.")
        self.used[value] = f"${{env:{variable}}}"
        return Node(value, "", text=value, public=f"${{env:{variable}}}", secret=True)


def _step(node: Node, path: Path, part: str) -> tuple[Node, Path]:
    if isinstance(node.value, list):
        index = index_of(node.value, part)
        if index is not None:
            return node.value[index], (*path, index)
        known = [name for name in entry_names(node.value) if name is not None]
        known = known or [str(i) for i in range(len(node.value))]
    elif isinstance(node.value, dict):
        if part in node.value:
            return node.value[part], (*path, part)
        known = list(node.value)
    else:
        raise _Refused(f"{show(path)} holds a single value: there is no {part!r} in it.")
    where = f"in {show(path)}" if path else "at the top"
    hint = suggestion(part, known) if known else ""
    text = f"nothing is written {where} as {part!r}, and defaults cannot be referred to.{hint}"
    raise _Missing(text, nearest(part, known), (*path, part))


def _words(value: Any) -> str:
    """A value as it would be written within a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def other_reading(node: Node) -> Any:
    """What a value would be for a field of another type: the text of a number, or the number of a text; None: nothing.

    Only what the command line and the environment say may be read so: in a file quotes tell.
    """
    if node.text is None or (node.value is None and not node.text.isalpha()):  # `null` may be a name, `~` is none
        return None
    other = scalar(node.text) if isinstance(node.value, str) else node.text
    return None if other == node.value and type(other) is type(node.value) else other
