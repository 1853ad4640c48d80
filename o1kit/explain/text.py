"""What `o1kit explain` prints of one value: its origin, type, range, kinds and documentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from o1kit.explain.resolved import Entry, Resolved, brief, documentation
from o1kit.explain.schema import first_line
from o1kit.explain.written import flow, nested
from o1kit.functional.printable import printable

WIDTH = 40
"""Longer values are cut in the rows of a section."""


def told(recipe: Resolved, entry: Entry) -> dict[str, Any]:
    """All there is to say of a value, as data."""
    schema = recipe.schema
    chosen = schema.choose(entry.node, entry.value)
    kinds = schema.kinds(entry.node)
    found: dict[str, Any] = {
        "path": recipe.spell(entry.path),
        "value": entry.value,
        "origin": entry.origin,
        "type": schema.type_text(entry.node),
        "range": schema.range_text(entry.node),
        "unit": schema.unit_text(entry.node),
        "default": entry.node.get("default"),
        "required": "default" not in entry.node,
        "documentation": documentation(entry),
        "kinds": kinds,
        "fields": {},
    }
    if isinstance(entry.value, dict | list):
        found["fields"] = {
            str(inner.path[-1]): {"value": inner.value, "origin": inner.origin, "documentation": brief(inner)}
            for inner in recipe.children(entry)
        }
    section = chosen.get("section", "")
    if section and section != found["documentation"]:
        found["section"] = section
    return found


def lines(recipe: Resolved, entry: Entry) -> list[str]:
    """The same as text."""
    if not entry.path:
        return _overview(recipe, entry)
    data = told(recipe, entry)
    container = nested(entry.value)
    head = f"{data['path']}: {_kind(entry.value)}" if container else f"{data['path']} = {flow(entry.value)}"
    found = [head]
    if entry.unset:
        section = recipe.spell(entry.path[:-1])
        found.append(f"  from     not in use: {section} is not set; this is what it would start with")
    else:
        found.append(f"  from     {entry.origin}")
    limits = f", {data['range']}" if data["range"] else ""
    found.append(f"  type     {data['type']}{limits}")
    if data["unit"]:
        found.append(f"  unit     {data['unit']}")
    if not container:
        found.append(f"  default  {'none: it must be given' if data['required'] else flow(data['default'])}")
    found += [
        f"  {line}".rstrip() for text in (data["documentation"], data.get("section")) if text for line in _block(text)
    ]
    if len(data["kinds"]) > 1:
        now = entry.value.get("kind") if isinstance(entry.value, dict) else None
        found += [
            "",
            "  kinds",
            *_columns([(("* " if k == now else "  ") + k, text) for k, text in data["kinds"].items()]),
        ]
    if container:
        found += ["", *_rows(recipe, entry)]
    return [printable(line) for line in found]


def _overview(recipe: Resolved, entry: Entry) -> list[str]:
    """The whole recipe: its files, and a row for each of its parts."""
    found = [f"{recipe.data['name']}: {', '.join(map(str, recipe.files))}", ""]
    found += _rows(recipe, entry)
    stages = []
    for stage in recipe.children(recipe.child(entry, "stages")):
        section = recipe.schema.choose(stage.node, stage.value)
        text = first_line(section.get("section") or section.get("description", ""))
        stages.append((recipe.spell(stage.path), stage.value["kind"], text))
    found += ["", *_columns(stages)]
    found += ["", "One value or section: o1kit explain RECIPE PATH; all values with their origins: --full"]
    return [printable(line) for line in found]


def _rows(recipe: Resolved, entry: Entry) -> list[str]:
    """A row for each value of a section: value, origin, documentation."""
    rows = []
    for inner in recipe.children(entry):
        part = inner.path[-1]
        name = f"[{part}]" if isinstance(part, int) else part
        rows.append((name, _short(inner.value), inner.origin, brief(inner)))
    return _columns(rows)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return [
        ("  " + "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])).rstrip()
        for row in rows
    ]


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} {'entry' if len(value) == 1 else 'entries'}"
    return f"kind {value['kind']}" if "kind" in value else f"{len(value)} {'key' if len(value) == 1 else 'keys'}"


def _short(value: Any) -> str:
    """A value in one cell: sections by their kind or size."""
    if isinstance(value, dict) and value:
        return f"{{kind: {value['kind']}, ...}}" if "kind" in value else "{...}"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return f"[{len(value)}]"
    text = flow(value)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _block(text: str) -> list[str]:
    return ["", *text.split("\n")]
