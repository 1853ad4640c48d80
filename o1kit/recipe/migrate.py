"""Older recipes: a table of what is called otherwise now, the faults that say so, and the text with the new names.

Only the words themselves are changed: comments, order, quotes and spaces stay as they are. A value that has become part
of a section is put into it on its line.
"""

from __future__ import annotations

import re
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
    if entry.form and there is not None and (there.key or there.place).rsplit(":", 2)[0] == file:
        return f"`{entry.new}` is there too. Remove the old name."
    return f"Run: o1kit recipe migrate {file} --in-place"


def migrated(text: str, name: str) -> tuple[str, list[Change]]:
    """The text with new names, and what was changed.

    Args:
        text: of a recipe, or of a part of one.
        name: the file's, for messages.

    Raises:
        RecipeError: it cannot be read.
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
    for key, value, entry in _entries(composed(text), ()):
        node, old, new = (value, entry.value, entry.new) if entry.value else (key, key.value, entry.new)
        start, end = node.start_mark, node.end_mark
        edits[start.index] = (end.index, text[start.index : end.index].replace(old, entry.new, 1))
        if entry.form:
            first, last = value.start_mark.index, value.end_mark.index
            edits[first] = (last, entry.form.replace("VALUE", text[first:last]))
            new = f"{entry.new}: {edits[first][1]}"
        changes[start.index] = Change(f"{name}:{start.line + 1}:{start.column + 1}", old, new)
    for begin in sorted(edits, reverse=True):
        end_index, replacement = edits[begin]
        text = text[:begin] + replacement + text[end_index:]
    return text, [changes[begin] for begin in sorted(changes)]


def _entries(node: Any, path: tuple[str | int, ...]) -> Iterator[tuple[Any, Any, Renamed]]:
    """Key and value of each entry that is called otherwise now, and can be rewritten where it is."""
    if node.id == "mapping":
        kind = next((value.value for key, value in node.value if key.value == "kind"), None)
        for key, value in node.value:
            here = (*path, str(key.value).removeprefix("+"))
            for entry in RENAMED:
                if entry.fits(here, value.value, kind) and not (entry.form and not _can_be_wrapped(node, value, entry)):
                    yield key, value, entry
            yield from _entries(value, here)
    elif node.id == "sequence":
        for i, item in enumerate(node.value):
            yield from _entries(item, (*path, i))


def _can_be_wrapped(section: Any, value: Any, entry: Renamed) -> bool:
    """True for a value on one line, in a section that has not got the new key already."""
    plain = value.id == "scalar" and value.style in (None, "'", '"') and value.value
    return plain and all(key.value != entry.new for key, _ in section.value)
