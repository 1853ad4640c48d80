"""`Kinds`: a union of recipe sections, chosen by `kind`, to which installed plugins add theirs.

Built-in and installed kinds come through one door: the `kind` names a class, and that class checks the section. A
plugin is imported when a recipe names it; a section's validator is built when a recipe has one.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticKnownError, core_schema

from o1kit import registry
from o1kit.config import Config
from o1kit.errors import O1kitError
from o1kit.plugin import kinds_of
from o1kit.reference import Reference
from o1kit.registry import Installed

NAMED, PLUGIN = "[name]", "[plugin]"
"""In the locations of errors: stand for a word in place of a section, and for a kind that is not built in."""
_listed: ContextVar[bool] = ContextVar("installed kinds are part of JSON schemas", default=False)


@dataclass(frozen=True, slots=True)
class Kinds:
    """Marks a union of sections as all kinds of a group: its members, and what installed packages register."""

    group: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Chooses by `kind`, and lets the chosen class check the section."""
        return handler.generate_schema(Annotated[Any, _Union(self, source)])

    def section(self, kind: Any) -> type[Config] | None:
        """The section of an installed kind; None where there is none that can be used."""
        if not isinstance(kind, str) or kind not in registry.plugins(self.group):
            return None
        try:
            return registry.load(self.group, kind).config
        except O1kitError:
            return None

    def usable(self) -> dict[str, type[Config]]:
        """The sections of all installed kinds that can be imported."""
        found = {kind: self.section(kind) for kind in registry.plugins(self.group)}
        return {kind: section for kind, section in found.items() if section is not None}


@dataclass(frozen=True, slots=True)
class _Union:
    """A union with the mark: its validator and its JSON schema."""

    kinds: Kinds
    source: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices: dict[Any, CoreSchema] = {
            kind: core_schema.no_info_plain_validator_function(section.model_validate)
            for kind, section in sections(self.source).items()
        }
        for word in (m for m in members(self.source) if not _is_section(m)):
            choices[NAMED] = handler.generate_schema(word)
        choices[PLUGIN] = core_schema.no_info_plain_validator_function(self._installed)
        return core_schema.tagged_union_schema(
            choices,
            discriminator=lambda value: _tag(choices, value),
            serialization=core_schema.simple_ser_schema("any"),
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """All members, told apart by `kind`; with the installed ones inside of `with_plugins`."""
        words = {tag: choice for tag, choice in schema["choices"].items() if tag == NAMED}
        chosen = sections(self.source) | (self.kinds.usable() if _listed.get() else {})
        known = {kind: _core(section) for kind, section in chosen.items()}
        if not known:
            return {"type": "object"}
        return handler(core_schema.tagged_union_schema(words | known, (lambda value: None) if words else "kind"))

    def _installed(self, value: Any) -> Any:
        """A section of a kind that is not built in, checked by the class of its plugin."""
        group = self.kinds.group
        kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
        if kind is None and not isinstance(value, dict):
            raise PydanticKnownError("model_attributes_type")
        if kind is None:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "'kind'"})
        installed = registry.plugins(group)
        if not isinstance(kind, str) or kind not in installed:
            expected = ", ".join(map(repr, [*sections(self.source), *installed]))
            told = {"discriminator": "'kind'", "tag": str(kind), "expected_tags": expected}
            raise PydanticKnownError("union_tag_invalid", told)
        try:
            section = registry.load(group, kind).config
        except O1kitError as error:
            raise _fault(kind, str(error)) from error
        assert section is not None
        try:
            checked = section.model_validate(value)
            _ask(checked)
            return checked
        except ValidationError:
            raise
        except Exception as error:  # another package's validators: anything can happen
            text = f"{installed[kind][0]} failed to check this section: {type(error).__name__}: {error}"
            raise _fault(kind, text) from error


@contextmanager
def with_plugins(listed: bool = True) -> Iterator[None]:
    """Makes installed kinds part of JSON schemas: they are imported for it, and left out where they cannot be."""
    token = _listed.set(listed)
    try:
        yield
    finally:
        _listed.reset(token)


def used(section: Any) -> list[Installed]:
    """The installed kinds that a recipe, or a part of one, is made of, each once; teachers are found by name."""
    found: dict[Installed, None] = {}
    if isinstance(section, BaseModel):
        provider = registry.provider(type(section))
        if provider is not None:
            found[provider] = None
        found |= dict.fromkeys(_teachers(section))
        for name in type(section).model_fields:
            found |= dict.fromkeys(used(getattr(section, name)))
    elif isinstance(section, Mapping | list | tuple):
        for item in section.values() if isinstance(section, Mapping) else section:
            found |= dict.fromkeys(used(item))
    return list(found)


def _teachers(section: BaseModel) -> list[Installed]:
    """What registers the teacher of a source of problems: the one it names, or that of its generator."""
    name = getattr(section, "teacher", None) or getattr(section, "generator", None)
    if not isinstance(name, str) or registry.builtin("teachers", name):
        return []
    return registry.plugins("teachers").get(name, [])


def members(annotation: Any) -> list[Any]:
    """The types of a union, without None and without what `Annotated` adds; of another type itself."""
    while get_origin(annotation) is Annotated and not _is_plain(get_args(annotation)[0]):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return [annotation]
    given = [member for member in get_args(annotation) if member is not type(None)]
    return [inner for member in given for inner in members(member)]


def sections(annotation: Any) -> dict[str, type[Config]]:
    """The members of a union that are sections, by kind; installed ones are not among them."""
    return {kind: member for member in members(annotation) if _is_section(member) for kind in kinds_of(member)}


def all_kinds(annotation: Any) -> list[str]:
    """The kinds that a section of this type may have, built-in ones first."""
    mark = marker(annotation)
    return [*sections(annotation), *(registry.plugins(mark.group) if mark is not None else ())]


def marker(annotation: Any) -> Kinds | None:
    """The mark of a union that plugins may add to, wherever in the type it is."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return next((mark for mark in metadata if isinstance(mark, Kinds)), None) or marker(inner)
    if get_origin(annotation) in (Union, types.UnionType):
        return next((mark for mark in map(marker, get_args(annotation)) if mark is not None), None)
    return None


def declared(field: FieldInfo) -> Any:
    """A field's type with its bounds and marks: Pydantic keeps what `Annotated` adds apart from the type."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _is_plain(inner: Any) -> bool:
    """True for types such as `str`, of which `Annotated` says what they may hold."""
    return get_origin(inner) is None and not _is_section(inner)


def _is_section(member: Any) -> bool:
    return isinstance(member, type) and issubclass(member, BaseModel)


def _tag(choices: Collection[str], value: Any) -> str:
    if isinstance(value, str):
        return NAMED if NAMED in choices else PLUGIN
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) and kind in choices and kind not in (NAMED, PLUGIN) else PLUGIN


def _core(section: type[BaseModel]) -> Any:
    """The validator of a section, built if it was not yet, with a reference: JSON schemas then have it once."""
    section.model_rebuild()
    return _referred(section, section.__pydantic_core_schema__)


def _referred(section: type[BaseModel], schema: Any) -> Any:
    if schema["type"] == "definitions":
        return {**schema, "schema": _referred(section, schema["schema"])}
    return {"ref": f"{section.__module__}.{section.__qualname__}:{id(section)}", **schema}


def _ask(section: Config) -> None:
    """Asks a plugin's section for all that it says of itself, so that what fails there is a fault of the recipe."""
    for name in dir(type(section)):
        if not name.startswith(("_", "model_")) and isinstance(getattr(type(section), name, None), property):
            getattr(section, name)
    for reference in getattr(section, "references", tuple)():
        if not isinstance(reference, Reference):
            raise TypeError(f"references() gives a {type(reference).__name__}, not an `o1kit.reference.Reference`")


def _fault(kind: str, message: str) -> ValidationError:
    """What is wrong with a kind, as an error at the line that names it: Pydantic puts it where the section is."""
    details = InitErrorDetails(type="value_error", loc=("kind",), input=kind, ctx={"error": ValueError(message)})
    return ValidationError.from_exception_data("section", [details])
