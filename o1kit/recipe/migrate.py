"""Older recipes: a table of what is called otherwise now, the faults that say so, and the text with the new names.

Only the words themselves are changed: comments, order, quotes and spaces stay as they are. A value that has become part
of a section is put into it on its line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from o1kit.errors import RecipeError
from o1kit.recipe.explain import other_version
from o1kit.recipe.nodes import Node, walk
from o1kit.recipe.source import OPTION, Source, parse


class Renamed(NamedTuple):
    """A key, or a value, that older recipes call otherwise."""

    where: re.Pattern[str]
    """Recipe path, its parts separated by `/`, of what is renamed."""
    new: str
    value: str = ""
    """The old value, where a value is renamed; empty: the key is."""
    why: str = ""
    form: str = ""
    """What the key's value becomes part of, `VALUE` in it; empty: it stays as it is."""
    kind: str = ""
    """The kind of the sections that are meant, where others may have such a key."""

    def fits(self, path: tuple[str | int, ...], value: Any, kind: Any = None) -> bool:
        """True for an entry that is called otherwise now; `kind` is that of its section, if it is written there."""
        place = "/".join(str(part).removeprefix("+") for part in path)
        if self.where.fullmatch(place) is None or not (self.kind == "" or kind in (None, self.kind)):
            return False
        return self.value in ("", value)

    @property
    def name(self) -> str:
        """What it is called now."""
        return f"{self.new}: {self.form.replace('VALUE', '...')}" if self.form else self.new


VERSION = "o1kit"
STAGES = "stages"
"""All that has been renamed is in there."""
_SEARCH = r"stages/[^/]+/search(es)?/(.*/)?"
_ANY = "it is what the stage's `judge` names, of any kind"
RENAMED = (
    Renamed(re.compile(r"stages/[^/]+/prm"), "judge", why="it names reward models of every kind"),
    Renamed(re.compile(_SEARCH + "(leaf_value|scored_by|judge)"), "judge", "prm", _ANY),
    Renamed(re.compile(_SEARCH + "score/kind"), "judge", "prm", _ANY),
    Renamed(
        re.compile(r"stages/[^/]+/search(es/[^/]+)?/c_puct"),
        "selection",
        why="it is the constant of one rule among others",
        form="{kind: puct, c: VALUE}",
        kind="mcts",
    ),
)
"""What has been renamed in version 1 of the format, in the order of time."""


class Change(NamedTuple):
    """One word of a text that is called otherwise now."""

    place: str
    old: str
    new: str


class Migrated(NamedTuple):
    """A text with new names."""

    text: str
    changes: list[Change]
    left: list[str]
    """What is called otherwise now and was left as it is: where, and what to do about it."""


def check_names(source: Source) -> None:
    """Adds a fault for every old name, with the new one and the command that rewrites the file."""
    stages = source.root.value.get(STAGES) if source.root is not None else None
    written = dict(walk(stages, (STAGES,))) if stages is not None else {}
    for path, node in written.items():
        kind = written.get((*path[:-1], "kind"))
        for entry in RENAMED:
            if entry.fits(path, node.value, kind.value if kind is not None else None):
                place = node.place if entry.value else node.key or node.place
                old = entry.value or str(path[-1])
                how = _how(entry, place, written.get((*path[:-1], entry.new)))
                text = f"`{old}` is now called `{entry.name}`: {entry.why}. {how}"
                source.fault(path, text, key=not entry.value)


def _how(entry: Renamed, place: str, there: Node | None) -> str:
    """What to do about an old name at a place; `there` is what the new name holds already, beside it."""
    if place.startswith(OPTION):
        return "Write the new name."
    file = place.rsplit(":", 2)[0]
    if not entry.value and there is not None and (there.key or there.place).rsplit(":", 2)[0] == file:
        return f"`{entry.new}` is there too. Remove the old name."
    return f"Run: o1kit recipe migrate {file} --in-place"


def migrated(text: str, name: str) -> Migrated:
    """The text with new names, what was changed, and what could not be.

    Args:
        text: of a recipe, or of a part of one.
        name: the file's, for messages.

    Raises:
        RecipeError: it cannot be read, or could not be once it was rewritten.
    """
    from o1kit.recipe.bounded import composed

    read = parse(text, name, operators=True)  # bounded and safe: what it refuses is not looked at again
    if read.faults:
        raise RecipeError("\n".join(str(fault) for fault in read.faults[:20]))
    version = read.data.get(VERSION, 1) if isinstance(read.data, dict) else 1
    if type(version) is not int or version != 1:
        raise RecipeError(f"{read.place((VERSION,))}: {VERSION}: {other_version(version)}")
    text = read.texts[name]
    edits: dict[int, tuple[int, str]] = {}
    changes: dict[int, Change] = {}
    left: dict[int, str] = {}
    root = composed(text)
    found, uses = list(_entries(root, ())), Counter(map(id, _reached(root)))
    wanted = Counter(id(one.node) for one in found)
    for one in found:
        start, entry = one.node.start_mark, one.entry
        place = f"{name}:{start.line + 1}:{start.column + 1}"
        why = one.hindrance(text, everywhere=wanted[id(one.node)] == uses[id(one.node)])
        if why:
            left[start.index] = f"{place}: `{one.old}`, now called `{entry.name}`, stays: {why}"
            continue
        end = one.node.end_mark.index
        edits[start.index] = (end, entry.new.join(text[start.index : end].rsplit(one.old, 1)))
        new = entry.new
        if entry.form:
            first, last = one.value.start_mark.index, one.value.end_mark.index
            edits[first] = (last, entry.form.replace("VALUE", text[first:last]))
            new = f"{entry.new}: {edits[first][1]}"
        changes[start.index] = Change(place, one.old, new)
    for begin in sorted(edits, reverse=True):
        end_index, replacement = edits[begin]
        text = text[:begin] + replacement + text[end_index:]
    faults = parse(text, name, operators=True).faults
    if faults:
        told = "\n".join(str(fault) for fault in faults[:20])
        raise RecipeError(f"{name}: cannot be rewritten: it would have these faults. Change it by hand.\n{told}")
    return Migrated(text, [changes[begin] for begin in sorted(changes)], [left[begin] for begin in sorted(left)])


class _Found(NamedTuple):
    """An entry that is called otherwise now, in the section that it is written in."""

    section: Any
    key: Any
    value: Any
    entry: Renamed

    @property
    def node(self) -> Any:
        """The word that is to be another."""
        return self.value if self.entry.value else self.key

    @property
    def old(self) -> str:
        """The word."""
        return self.entry.value or str(self.key.value)

    def hindrance(self, text: str, *, everywhere: bool) -> str:
        """Why it cannot be rewritten where it is, and what to do; empty if it can.

        Args:
            text: all of the file.
            everywhere: the word means the same wherever an alias puts it.
        """
        new = self.entry.new
        if not self.entry.value and any(key.value == new for key, _ in self.section.value):
            return f"`{new}` is there too. Remove one of them."
        if not everywhere:
            return "it is also used elsewhere, through an alias. Write the value out in both places."
        if self.old not in text[self.node.start_mark.index : self.node.end_mark.index]:
            return "it is written with escapes. Write the new name."
        value = self.value
        plain = value.id == "scalar" and value.style in (None, "'", '"') and value.value
        if self.entry.form and (not plain or value.anchor or value.start_mark.index < self.key.end_mark.index):
            return "its value cannot be put into a section as it is written. Write the new name."
        return ""


def _entries(node: Any, path: tuple[str | int, ...]) -> Iterator[_Found]:
    """Each entry that is called otherwise now, as often as aliases put it somewhere."""
    if node.id == "mapping":
        kind = next((value.value for key, value in node.value if key.value == "kind"), None)
        for key, value in node.value:
            here = (*path, str(key.value).removeprefix("+"))
            yield from (_Found(node, key, value, entry) for entry in RENAMED if entry.fits(here, value.value, kind))
            yield from _entries(value, here)
    elif node.id == "sequence":
        for i, item in enumerate(node.value):
            yield from _entries(item, (*path, i))


def _reached(node: Any) -> Iterator[Any]:
    """All nodes, keys too, as often as aliases put them somewhere."""
    yield node
    if node.id == "mapping":
        for key, value in node.value:
            yield from _reached(key)
            yield from _reached(value)
    elif node.id == "sequence":
        for item in node.value:
            yield from _reached(item)
