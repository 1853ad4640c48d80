"""Pydantic's validation errors as faults of a recipe: where it is written, and the nearest valid choice."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from o1kit.config import docs
from o1kit.kinds import NAMED, PLUGIN, all_kinds, declared, marker, members
from o1kit.nearest import nearest, slips
from o1kit.plugin import kinds_of
from o1kit.recipe.messages import shown, told
from o1kit.recipe.source import Path, Source
from o1kit.registry import suggestion

MOST = 200
"""Most faults that are explained: each costs time, and nobody reads as many."""
INSTALL = "install a plugin that provides it; `o1kit plugins list` shows the installed ones."
_QUOTED = re.compile(r"'([^']*)'")


def explain(error: ValidationError, model: type[BaseModel], source: Source, left_out: Collection[str] = ()) -> None:
    """Adds one fault for each error to the source, those of some sorts left out; of very many, the first."""
    for item in [found for found in error.errors(include_url=False) if found["type"] not in left_out][:MOST]:
        path = written_path(item["loc"], source.data)
        kind, context = item["type"], item.get("ctx", {})
        if kind == "extra_forbidden":
            _unknown_key(path, model, source)
        elif kind == "missing":
            source.fault(path, f"is required. {_described(model, source.data, path)}")
        elif kind in ("union_tag_invalid", "literal_error"):
            open_ended = PLUGIN in item["loc"][-1:]
            _unknown_choice(path, kind == "union_tag_invalid", context, item["input"], source, open_ended)
        elif kind == "union_tag_not_found":
            written = at(source.data, (*path, "kind"), at)
            text = "needs a `kind`" if written is at else f"{shown(written)} is no kind"
            where = path if written is at else (*path, "kind")
            source.fault(where, f"{text}. Choose one of: {', '.join(_all_kinds(model, source.data, path))}.")
        elif kind == "value_error":
            source.fault(path, str(context["error"]).rstrip(".") + ".")
        else:
            # What is shown is what is written: a value from the environment is not.
            item["input"] = at(source.data, path, item["input"])
            found = told(item, annotation_at(model, source.data, path)[0], _described(model, source.data, path))
            source.fault(path, found.message, suggestion=found.suggestion)


def _unknown_key(path: Path, model: type[BaseModel], source: Source) -> None:
    word, section = str(path[-1]), _section(model, source.data, path[:-1])
    choices = list(section.model_fields) if section is not None else []
    written = at(source.data, path[:-1], {})
    # Of two that are as near, the one that is there already was not meant again.
    near, other = nearest(word, choices), nearest(word, [c for c in choices if c not in written])
    if near is not None and other is not None and slips(word, other) == slips(word, near):
        near = other
    inner = _inside(section, word) if section is not None and (near is None or slips(word, near) > 1) else None
    if inner is not None:
        hint, near = f" It belongs into {inner!r}. Write {inner}: {{{word}: ...}}.", f"{inner}.{word}"
    else:
        hint = f" Did you mean {near!r}?" if near else f" Choose one of: {', '.join(choices)}."
    source.fault(path, f"unknown key {shown(word)}.{hint}", key=True, suggestion=near)


def _inside(section: type[BaseModel], word: str) -> str | None:
    """The field of a section whose own section has a key."""
    for name, field in section.model_fields.items():
        if any(word in getattr(member, "model_fields", {}) for member in members(field.annotation)):
            return name
    return None


def _unknown_choice(
    path: Path, tag: bool, context: dict[str, Any], value: Any, source: Source, open_ended: bool
) -> None:
    """A word that is not among those that may stand there; plugins may add others where it is `open_ended`."""
    expected = context.get("expected_tags" if tag else "expected") or ""
    choices = [choice for choice in _QUOTED.findall(str(expected)) if not choice.startswith("[")]
    value = context.get("tag") if tag else value
    where = (*path, "kind") if tag else path
    if where == ("o1kit",):
        source.fault(where, other_version(value))
        return
    near = nearest(str(value), choices)
    hint = suggestion(str(value), choices) if choices else f" Expected {expected}." if expected else ""
    install = f" Or {INSTALL}" if hint else f" {INSTALL[0].upper()}{INSTALL[1:]}"
    more = install if open_ended and near is None else ""
    source.fault(where, f"unknown {where[-1]} {shown(value)}.{hint}{more}", suggestion=near)


def other_version(value: Any) -> str:
    """What is wrong with the number of the format."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 1:
        return f"this recipe is of format {value}, and this o1kit knows format 1. Upgrade o1kit."
    return f"is the number of the recipe's format, got {shown(value)}. Write o1kit: 1"


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
    annotation, written = annotation_at(model, data, path)
    chosen = _choose(annotation, written)
    return chosen if isinstance(chosen, type) and issubclass(chosen, BaseModel) else None


def annotation_at(model: type[BaseModel], data: Any, path: Path) -> tuple[Any, Any]:
    """The declared type at a path, unions and all, and what is written there."""
    annotation: Any = model
    for part in path:
        chosen = _choose(annotation, data)
        if isinstance(chosen, type) and issubclass(chosen, BaseModel):
            field = chosen.model_fields.get(str(part))
            annotation = declared(field) if field is not None else None
        else:
            while get_origin(chosen) is Annotated:
                chosen = get_args(chosen)[0]
            annotation = (get_args(chosen) or (None,))[-1]
        data = _child(data, part)
    return annotation, data


def has_mark(annotation: Any, mark: type) -> bool:
    """True for a type that `Annotated` marks so, itself or as the member of a union."""
    if get_origin(annotation) is Annotated:
        return any(isinstance(m, mark) for m in annotation.__metadata__) or has_mark(get_args(annotation)[0], mark)
    return get_origin(annotation) in (Union, UnionType) and any(has_mark(a, mark) for a in get_args(annotation))


def _choose(annotation: Any, data: Any) -> Any:
    """The member of a union that the data's `kind` names."""
    found = members(annotation)
    kind = data.get("kind") if isinstance(data, dict) else None
    mark = marker(annotation)
    installed = mark.section(kind) if mark is not None else None
    return next((member for member in found if kind in kinds_of(member)), installed or found[0])


def _all_kinds(model: type[BaseModel], data: Any, path: Path) -> list[str]:
    return all_kinds(annotation_at(model, data, path)[0])


def _described(model: type[BaseModel], data: Any, path: Path) -> str:
    section = _section(model, data, path[:-1]) if path else None
    return docs(section).get(str(path[-1]), "").split("\n")[0] if section is not None else ""


def _child(data: Any, part: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(part)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return None


def at(data: Any, path: Path, missing: Any) -> Any:
    """What is written at a path, or what stands for nothing."""
    for part in path:
        if not (isinstance(data, list) or (isinstance(data, dict) and part in data)):
            return missing
        data = _child(data, part)
    return data
