"""A recipe with every value in it: what it is, where it was written, and what its schema says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path as FilePath
from typing import Any

from o1kit.config import public
from o1kit.errors import RecipeError
from o1kit.explain.schema import Node, Schema, first_line
from o1kit.kinds import used
from o1kit.recipe.loader import load
from o1kit.recipe.source import Path, Source
from o1kit.registry import suggestion

DEFAULT = "default"
_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
NEAREST = 6
"""At most so many places are named where a key was looked for in vain."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a recipe."""

    path: Path
    value: Any
    origin: str
    """`file:line:column`, `--set text`, or `default`."""
    node: Node
    """Its schema."""
    unset: bool = False
    """It lies in a section that the recipe leaves out; the value is what the section would start with."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A recipe as it was understood, as plain data."""

    name: str
    data: dict[str, Any]
    source: Source
    schema: Schema
    files: tuple[FilePath, ...]

    @property
    def root(self) -> Entry:
        """The whole recipe."""
        return Entry((), self.data, self.source.name, self.schema.root)

    def children(self, entry: Entry) -> Iterator[Entry]:
        """What a section, map or list holds, in order."""
        value = entry.value
        if isinstance(value, dict):
            yield from (self.child(entry, key) for key in value)
        elif isinstance(value, list):
            yield from (self.child(entry, i) for i in range(len(value)))

    def child(self, entry: Entry, part: str | int) -> Entry:
        """One of them."""
        node = self.schema.child(entry.node, part, entry.value) or {}
        path = (*entry.path, part)
        return Entry(path, entry.value[part], self.origin(path), node, entry.unset)

    def origin(self, path: Path) -> str:
        """Where a value was written. What a short form stands for was written where the short form is."""
        data = self.source.data
        for end, part in enumerate(path):
            if not isinstance(data, dict | list):
                return self.source.nearest(path[:end])
            if part not in (data if isinstance(data, dict) else range(len(data))):
                return DEFAULT
            data = data[part]  # type: ignore[index]
        return self.source.nearest(path)

    def find(self, text: str) -> Entry:
        """The value at `stages.sft.steps` or `stages[0].steps`.

        Raises:
            RecipeError: there is none; the message names the nearest.
        """
        entry = self.root
        for index, word in _PART.findall(text):
            entry = self._step(entry, index or word, text)
        return entry

    def _step(self, entry: Entry, part: str, text: str) -> Entry:
        value = entry.value
        if isinstance(value, list):
            names = [item.get("name") if isinstance(item, dict) else None for item in value]
            if part in names:
                return self.child(entry, names.index(part))
            if part.isdigit() and int(part) < len(value):
                return self.child(entry, int(part))
            choices = [n for n in names if isinstance(n, str)] or [str(i) for i in range(len(value))]
        elif isinstance(value, dict):
            if part in value:
                return self.child(entry, part)
            choices = list(value)
        else:
            node = self.schema.choose(entry.node, value)
            choices = list(node.get("properties", {}))
            if part in choices:
                inner = self.schema.child(entry.node, part, value) or {}
                return Entry((*entry.path, part), inner.get("default"), DEFAULT, inner, unset=True)
        raise self._missing(entry, part, text, choices)

    def _missing(self, entry: Entry, part: str, text: str, choices: Sequence[str]) -> RecipeError:
        where = self.spell(entry.path)
        message = f"{self.name}: there is no {text!r}: "
        message += f"{where} has no {part!r}." if where else f"a recipe has no {part!r}."
        members = [m for m in self.schema.members(entry.node) if part in m.get("properties", {})]
        kinds = list(self.schema.kinds({"anyOf": members})) if members else []
        kind = entry.value.get("kind") if isinstance(entry.value, dict) else None
        if kind is not None and kinds:
            return RecipeError(f"{message} That is a field of kind {' and '.join(kinds)}, and this is {kind}.")
        elsewhere = [self.spell(e.path) for e in self.all() if e.path[-1] == part]
        if elsewhere:
            return RecipeError(f"{message} There is {', '.join(elsewhere[:NEAREST])}.")
        if not choices:
            return RecipeError(f"{message} It is a value: {entry.value!r}. Leave out .{part}.")
        return RecipeError(message + suggestion(part, list(choices)))

    def all(self) -> Iterator[Entry]:
        """Every value, sections before what they hold."""
        yield from self._below(self.root)

    def _below(self, entry: Entry) -> Iterator[Entry]:
        for inner in self.children(entry):
            yield inner
            yield from self._below(inner)

    def spell(self, path: Path) -> str:
        """A path as `find` reads it, entries by name where they have one: `stages.sft.steps`."""
        text = ""
        data: Any = self.data
        for part in path:
            known = part in data if isinstance(data, dict) else isinstance(data, list)
            data = data[part] if known else {}
            name = data.get("name") if isinstance(part, int) and isinstance(data, dict) else None
            text += f".{name or part}" if name or isinstance(part, str) else f"[{part}]"
        return text.lstrip(".")


@cache
def _schema(*, plugins: bool) -> Schema:
    """The schema of recipes, with installed kinds if a recipe has any; making it takes longer than reading a recipe."""
    from o1kit.kinds import with_plugins
    from o1kit.recipe.schema import Recipe

    with with_plugins() if plugins else nullcontext():
        return Schema(Recipe.model_json_schema())


def resolve(path: FilePath, overrides: Sequence[str] = (), overlays: Sequence[FilePath] = ()) -> Resolved:
    """The recipe of a file, with everything that extends, overlays and `--set` make of it.

    Raises:
        RecipeError: it is wrong.
    """
    loaded = load(path, overrides, overlays)
    schema = _schema(plugins=bool(used(loaded.recipe)))
    return Resolved(str(path), public(loaded.recipe), loaded.source, schema, loaded.files)


def documentation(entry: Entry) -> str:
    """What the schema says a value is for: the field's documentation, else that of its section."""
    return str(entry.node.get("description") or entry.node.get("section") or "")


def brief(entry: Entry) -> str:
    """The first line of it."""
    return first_line(documentation(entry))
