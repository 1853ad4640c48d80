"""A resolved recipe as YAML again, with the origin of each value beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from o1kit.explain.resolved import Entry, Resolved
from o1kit.functional.printable import printable
from o1kit.recipe.source import scalar

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./ %-]*(?<! )")
"""Words that need no quotes, as long as they are not read as something else; numbers and dates are no words."""
_NEVER = {"yes", "no", "on", "off", "y", "n"}
"""Words to YAML 1.2, and switches to older readers."""
FLOW = 60
"""Lists of values up to this length stay on one line."""


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and scalar(value) == value and value.lower() not in _NEVER
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return json.dumps(value)


def full(recipe: Resolved) -> list[str]:
    """Lines of YAML that read back as the same recipe; a comment tells where each value comes from."""
    rows = list(_section(recipe, recipe.root, 0))
    width = min(max((len(text) for text, origin in rows if origin), default=0), FLOW)
    return [printable(f"{text.ljust(width)}  # {origin}" if origin else text) for text, origin in rows]


def _section(recipe: Resolved, entry: Entry, depth: int) -> Iterator[tuple[str, str]]:
    """The entries of a section, map or list: text and origin."""
    pad = "  " * depth
    for inner in recipe.children(entry):
        part = inner.path[-1]
        lead = f"{pad}- " if isinstance(part, int) else f"{pad}{flow(part)}:"
        if not nested(inner.value):
            yield (lead if lead.endswith(" ") else lead + " ") + flow(inner.value), inner.origin
            continue
        rows = list(_section(recipe, inner, depth + 1))
        if isinstance(part, int):  # a list's entry begins on the line of its mark
            text, origin = rows[0]
            yield lead + text.lstrip(), origin
            yield from rows[1:]
        else:
            yield lead, "" if inner.value else inner.origin
            yield from rows


def nested(value: Any) -> bool:
    """Whether a value needs lines of its own."""
    if isinstance(value, dict):
        return bool(value)
    return isinstance(value, list) and any(isinstance(item, dict | list) for item in value)
