"""Pydantic's validation errors as faults of a recipe: where it is written, and the nearest valid choice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from o1kit.config import docs
from o1kit.kinds import NAMED, PLUGIN, all_kinds, declared, marker, members
from o1kit.plugin import kinds_of
from o1kit.recipe.source import Path, Source
from o1kit.registry import suggestion

INSTALL = " Or install a plugin that provides it; `o1kit plugins list` shows the installed ones."
_QUOTED = re.compile(r"'([^']*)'")


def explain(error: ValidationError, model: type[BaseModel], source: Source) -> None:
    """Adds one fault for each error to the source."""
    for item in error.errors(include_url=False):
        path = written_path(item["loc"], source.data)
        kind, context = item["type"], item.get("ctx", {})
        if kind == "extra_forbidden":
            choices = known_keys(model, source.data, path[:-1])
            source.fault(path, f"unknown key {path[-1]!r}.{suggestion(str(path[-1]), choices)}", key=True)
        elif kind == "missing":
            source.fault(path, f"is required. {_described(model, source.data, path)}")
        elif kind in ("union_tag_invalid", "literal_error"):
            tag = kind == "union_tag_invalid"
            choices = _QUOTED.findall(str(context.get("expected_tags" if tag else "expected", "")))
            choices = [choice for choice in choices if not choice.startswith("[")]
            value = context.get("tag") if tag else item["input"]
            where = (*path, "kind") if tag else path
            hint = suggestion(str(value), choices) if choices else f" Expected {context.get('expected')}."
            more = INSTALL if PLUGIN in item["loc"][-1:] and "Did you mean" not in hint else ""
            source.fault(where, f"unknown {where[-1]} {value!r}.{hint}{more}")
        elif kind == "union_tag_not_found":
            source.fault(path, f"needs a `kind`. Choose one of: {', '.join(_all_kinds(model, source.data, path))}.")
        elif kind == "value_error":
            source.fault(path, str(context["error"]).rstrip(".") + ".")
        else:
            source.fault(path, f"{_lower(item['msg'])}, got {_shown(item['input'])}.")


def written_path(loc: tuple[int | str, ...], data: Any) -> Path:
    """The location without the union tags that Pydantic puts into it."""
    path: list[str | int] = []
    tagged = False
    for i, part in enumerate(loc):
        # Where the `kind` is left out, the tag is that of its default: a name that is no key, with more to follow.
        default = isinstance(data, dict) and "kind" not in data and part not in data and i < len(loc) - 1
        if isinstance(data, dict) and not tagged and isinstance(part, str) and (default or data.get("kind") == part):
            tagged = True
            continue
        if part in ("[key]", NAMED, PLUGIN):
            tagged = part == PLUGIN
            continue
        path.append(part)
        data = _child(data, part)
        tagged = False
    return tuple(path)


def known_keys(model: type[BaseModel], data: Any, path: Path) -> list[str]:
    """Names of the fields that a section may have."""
    section = _section(model, data, path)
    return list(section.model_fields) if section is not None else []


def _section(model: type[BaseModel], data: Any, path: Path) -> type[BaseModel] | None:
    """The class that describes what is written at a path."""
    annotation, written = _annotation(model, data, path)
    chosen = _choose(annotation, written)
    return chosen if isinstance(chosen, type) and issubclass(chosen, BaseModel) else None


def _annotation(model: type[BaseModel], data: Any, path: Path) -> tuple[Any, Any]:
    """The declared type at a path, unions and all, and what is written there."""
    annotation: Any = model
    for part in path:
        chosen = _choose(annotation, data)
        if isinstance(chosen, type) and issubclass(chosen, BaseModel):
            field = chosen.model_fields.get(str(part))
            annotation = declared(field) if field is not None else None
        else:
            annotation = (get_args(chosen) or (None,))[-1]
        data = _child(data, part)
    return annotation, data


def _choose(annotation: Any, data: Any) -> Any:
    """The member of a union that the data's `kind` names."""
    found = members(annotation)
    kind = data.get("kind") if isinstance(data, dict) else None
    mark = marker(annotation)
    installed = mark.section(kind) if mark is not None else None
    return next((member for member in found if kind in kinds_of(member)), installed or found[0])


def _all_kinds(model: type[BaseModel], data: Any, path: Path) -> list[str]:
    return all_kinds(_annotation(model, data, path)[0])


def _described(model: type[BaseModel], data: Any, path: Path) -> str:
    section = _section(model, data, path[:-1])
    return docs(section).get(str(path[-1]), "").split("\n")[0] if section is not None else ""


def _child(data: Any, part: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(part)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return None


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
