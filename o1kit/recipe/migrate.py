"""Older recipes: a table of what is called otherwise now, the faults that say so, and the text with the new names.

Only the words themselves are changed: comments, order, quotes and spaces stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from o1kit.errors import RecipeError
from o1kit.recipe.nodes import walk
from o1kit.recipe.source import OPTION, Fault, Source, parse


class Renamed(NamedTuple):
    """A key, or a value, that older recipes call otherwise."""

    where: re.Pattern[str]
    """Recipe path, its parts separated by `/`, of what is renamed."""
    new: str
    value: str = ""
    """The old value, where a value is renamed; empty: the key is."""
    why: str = ""

    def fits(self, path: tuple[str | int, ...], value: Any) -> bool:
        """True for an entry that is called otherwise now."""
        place = "/".join(str(part).removeprefix("+") for part in path)
        return self.where.fullmatch(place) is not None and self.value in ("", value)


STAGES = "stages"
"""All that has been renamed is in there."""
_SEARCH = r"stages/[^/]+/search(es)?/(.*/)?"
_ANY = "it is what the stage's `judge` names, of any kind"
RENAMED = (
    Renamed(re.compile(r"stages/[^/]+/prm"), "judge", why="it names reward models of every kind"),
    Renamed(re.compile(_SEARCH + "(leaf_value|scored_by|judge)"), "judge", "prm", _ANY),
    Renamed(re.compile(_SEARCH + "score/kind"), "judge", "prm", _ANY),
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
    for path, node in walk(stages, (STAGES,)) if stages is not None else ():
        for entry in RENAMED:
            if entry.fits(path, node.value):
                place = node.place if entry.value else node.key or node.place
                name = place.rsplit(":", 2)[0]
                how = (
                    "Write the new name."
                    if place.startswith(OPTION)
                    else f"Run: o1kit recipe migrate {name} --in-place"
                )
                old = entry.value or str(path[-1])
                text = f"`{old}` is now called `{entry.new}`: {entry.why}. {how}"
                source.faults.append(Fault(place, path, text))


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
    text = read.texts[name]
    edits: dict[int, tuple[int, Change]] = {}
    for key, value, entry in _entries(composed(text), ()):
        node, old = (value, entry.value) if entry.value else (key, key.value)
        start, end = node.start_mark, node.end_mark
        change = Change(f"{name}:{start.line + 1}:{start.column + 1}", old, entry.new)
        edits[start.index] = (end.index, change)
    for begin in sorted(edits, reverse=True):
        end_index, change = edits[begin]
        text = text[:begin] + text[begin:end_index].replace(change.old, change.new, 1) + text[end_index:]
    return text, [edits[begin][1] for begin in sorted(edits)]


def _entries(node: Any, path: tuple[str | int, ...]) -> Iterator[tuple[Any, Any, Renamed]]:
    """Key and value of each entry that is called otherwise now."""
    if node.id == "mapping":
        for key, value in node.value:
            here = (*path, str(key.value).removeprefix("+"))
            yield from ((key, value, entry) for entry in RENAMED if entry.fits(here, value.value))
            yield from _entries(value, here)
    elif node.id == "sequence":
        for i, item in enumerate(node.value):
            yield from _entries(item, (*path, i))
