"""Every section of the recipe's schema, each in a small valid recipe, as text whose lines and columns are known."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import Path

GIVEN: dict[str, Any] = {
    "endpoints": ["http://127.0.0.1:8000/v1"],
    "runs_model_code": True,
    "name": "name",
    "o1kit": 1,
    "tasks": {"train": {"num_problems": 1, "sources": [{"kind": "jsonl", "path": "x"}]}},
    "start": {"train": 1},
    "actions": {"train": {}},
    "after": "train",
    "add": {"train": 1},
}
"""Values of required fields that cannot be made from their type."""
NEEDED: dict[str, dict[str, Any]] = {
    "BaselineConfig": {"search": "greedy"},
    "BestOfNConfig": {"select": "majority"},
    "ConsensusLabelsConfig": {"of": ["one", "two"]},
    "DiversityConfig": {"temperatures": [0.5, 1.0]},
    "FileHash": {"sha256": "0" * 64},
    "LabelsConfig": {"policy": "model"},
    "LockConfig": {"o1kit": "0", "code": "0" * 64, "environment": "0" * 64},
}
"""What a section cannot do without although no field says so."""
MARK = "@@here@@"
COLUMN = 3
"""Where keys of the section in question begin."""


class Section(NamedTuple):
    """A class of the schema, and where it is in a recipe."""

    model: type[BaseModel]
    path: Path
    place: Callable[[Any], Any]
    """Puts what stands for the section into an otherwise valid recipe."""

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.model.__name__

    def text(self, entries: dict[str, Any]) -> str:
        """The recipe with these entries in the section, one a line from line 2 on, keys at `COLUMN`."""
        lines = ",\n".join(f"  {key}: {json.dumps(value)}" for key, value in entries.items())
        return json.dumps(self.place(MARK)).replace(json.dumps(MARK), f"{{\n{lines}\n}}")


def walk() -> list[Section]:
    """All sections that a recipe can have, each class once, where it is least deep."""
    found: dict[type[BaseModel], Section] = {}
    waiting = [Section(Recipe, (), lambda inner: inner)]
    while waiting:
        section = waiting.pop(0)
        kind = section.model.model_fields.get("kind")
        if section.model in found or (kind is not None and kind.annotation is str):  # what only plugins have kinds of
            continue
        found[section.model] = section
        for name, field in section.model.model_fields.items():
            for model, path, put in inside(field.annotation):
                waiting.append(_nested(section, name, model, path, put))
    return list(found.values())


def _nested(outer: Section, name: str, model: type[BaseModel], path: Path, put: Callable[[Any], Any]) -> Section:
    def place(inner: Any) -> Any:
        return outer.place({**minimal(outer.model), name: put(inner)})

    return Section(model, (*outer.path, name, *path), place)


def inside(annotation: Any) -> Iterator[tuple[type[BaseModel], Path, Callable[[Any], Any]]]:
    """The sections in a type: class, path to it, and what puts one there."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, (), lambda inner: inner
    elif origin is Annotated:
        yield from inside(arguments[0])
    elif origin in (Union, types.UnionType):
        for member in arguments:
            yield from inside(member)
    elif origin is list:
        for model, path, put in inside(arguments[0]):
            yield model, (0, *path), lambda inner, put=put: [put(inner)]
    elif origin is dict:
        for model, path, put in inside(arguments[1]):
            yield model, ("train", *path), lambda inner, put=put: {"train": put(inner)}


def declared(field: FieldInfo) -> Any:
    """A field's type with its bounds: Pydantic keeps what `Annotated` adds apart from it."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def minimal(model: type[BaseModel]) -> dict[str, Any]:
    """The least that a section needs."""
    data = {}
    for name, field in model.model_fields.items():
        if field.is_required() or name == "kind":
            data[name] = GIVEN[name] if name in GIVEN else value_of(declared(field))
    return data | NEEDED.get(model.__name__, {})


def words(annotation: Any) -> list[Any]:
    """The values that a type lists."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if isinstance(annotation, type):
        return []
    return [word for inner in get_args(annotation) for word in words(inner)]


def value_of(annotation: Any) -> Any:
    """A valid value of a type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return minimal(annotation)
    if origin is Literal:
        return arguments[0]
    if origin is Annotated:
        low = next(filter(None, (getattr(m, "ge", None) for m in annotation.__metadata__)), None)
        return low if low is not None else value_of(arguments[0])
    if origin in (Union, types.UnionType):
        return value_of(arguments[0])
    if origin is list:
        return [value_of(arguments[0])]
    if origin is dict:
        return {}
    return {str: "name", int: 1, float: 1.0, bool: True}.get(annotation)


def kinds_of_values(annotation: Any) -> set[str]:
    """The kinds of scalars that a type takes: text, whole, number, truth, none."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return {"text", "whole", "number", "truth", "none"}
    if annotation is type(None):
        return {"none"}
    if origin is Annotated:
        return kinds_of_values(arguments[0])
    if origin in (Union, types.UnionType):
        return set().union(*(kinds_of_values(member) for member in arguments))
    if origin is Literal:
        return set().union(*(kinds_of_values(type(value)) for value in arguments))
    return {str: {"text"}, int: {"whole"}, float: {"whole", "number"}, bool: {"truth"}}.get(annotation, set())


def numbers(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[type, dict[str, float]]]:
    """The numeric types in a type that may stand alone, each with its bounds."""
    if get_origin(annotation) is Annotated:
        yield from numbers(get_args(annotation)[0], (*metadata, *annotation.__metadata__))
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from numbers(member, metadata)
    elif annotation in (int, float):
        found: dict[str, float] = {}
        for item in metadata:
            for part in (item, *getattr(item, "metadata", ())):
                found |= {
                    n: v for n in ("ge", "gt", "le", "lt") if isinstance(v := getattr(part, n, None), int | float)
                }
        yield annotation, found
