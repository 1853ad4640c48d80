"""`problems`: what is wrong with an installed plugin, found by importing it."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ValidationError

from o1kit import registry
from o1kit.config import docs
from o1kit.errors import O1kitError
from o1kit.plugin import Plugin, unusable
from o1kit.registry import Installed


def problems(found: Installed, taken: Collection[str] = ()) -> list[str]:
    """Everything that is wrong with a plugin, each with what to do; empty for one that is fine.

    Args:
        found: the plugin.
        taken: names that it must not have, besides those of built-in kinds.
    """
    if found.shadowed or found.kind in taken:
        return [f"{found.kind!r} is a built-in name, which is used in its place. Rename the entry point."]
    rivals = [other for other in registry.plugins(found.group)[found.kind] if other != found]
    if rivals:
        return [f"{' and '.join(map(str, rivals))} has the same name in this group. Uninstall one of them."]
    try:
        plugin = registry.import_plugin(found)
    except O1kitError as error:
        return [str(error)]
    if found.group == registry.COMMANDS:
        return [] if callable(plugin) else [f"its entry point is a {type(plugin).__name__}: no Typer, no function."]
    reason = unusable(plugin, found.kind, registry.section_base(found.group))
    if reason:
        return [f"{reason}."]
    return [*_factory(found), *_section(plugin, found.kind)]


def api(found: Installed) -> str:
    """The API version that a plugin was made for; empty where it cannot be told."""
    try:
        plugin = registry.import_plugin(found)
    except O1kitError:
        return ""
    return str(plugin.api) if isinstance(plugin, Plugin) else ""


def _factory(found: Installed) -> list[str]:
    try:
        factory = registry.lookup(found.group, found.kind)
    except O1kitError as error:
        return [str(error)]
    return [] if callable(factory) else [f"its factory is a {type(factory).__name__}, which cannot be called."]


def _section(plugin: Plugin, kind: str) -> list[str]:
    """A section without documentation, or with defaults that it refuses itself."""
    if plugin.config is None:
        return []
    section: Any = plugin.config
    told = [] if _documented(section) else [f"class {section.__name__} has no docstring: say what the kind does."]
    bare = [name for name, text in docs(section).items() if not text]
    told += [f"{section.__name__}.{name} has no docstring under it: say what it means." for name in bare]
    # Pydantic does not check defaults; here they are checked as if they were written in a recipe.
    written = {
        name: field.get_default(call_default_factory=True)
        for name, field in section.model_fields.items()
        if not field.is_required()
    }
    try:
        section.model_validate(written | {"kind": kind})
    except ValidationError as error:
        wrong = [item for item in error.errors(include_url=False) if item["type"] != "missing"]
        told += [f"the default of {'.'.join(map(str, item['loc']))} is refused: {item['msg']}." for item in wrong]
    except Exception as error:  # another package's validators: anything can happen
        told.append(f"checking its section fails with {type(error).__name__}: {error}.")
    return told


def _documented(section: type[BaseModel]) -> bool:
    """True where the class has a docstring of its own: an inherited one is about something else."""
    return bool(inspect.cleandoc(section.__dict__.get("__doc__") or "").strip())
