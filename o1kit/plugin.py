"""What a plugin gives: the recipe section of a kind, what makes it, and the API version it was written for.

    # pyproject.toml
    [project.entry-points."o1kit.searches"]
    my_kind = "my_package:plugin"

    # my_package/__init__.py
    plugin = Plugin(api=1, config=MyConfig, factory="my_package.search:MySearch")

The module of `config` is imported when a recipe names the kind, that of `factory` when it runs: no torch in the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from o1kit.config import Config

API = 1
"""Version of the protocols in `o1kit.protocols` and of this file; a plugin made for another is refused."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One kind of a group (see `o1kit.registry`)."""

    api: int
    """`API` as it was when the plugin was written: a number, not the name."""
    config: type[Config] | None
    """Section with a field `kind: Literal["my_kind"]`; None in groups that have no sections (teachers)."""
    factory: str | Callable[..., Any]
    """`package.module:name`, or the callable; called as the built-in kinds of the group are."""


def unusable(found: Any, kind: str, base: type[Config] | None) -> str:
    """Why an entry point's object is no plugin of this kind; empty if it is one.

    Args:
        found: what the entry point stands for.
        kind: the name that it is registered under.
        base: what the section must be a subclass of; None where there is no section.
    """
    if not isinstance(found, Plugin):
        return f"its entry point is a {type(found).__name__}, not an `o1kit.plugin.Plugin`"
    if found.api != API:
        return f"it was made for plugin API {found.api!r}, and this o1kit has {API}"
    if not ((isinstance(found.factory, str) and found.factory.count(":") == 1) or callable(found.factory)):
        return "its `factory` is neither `package.module:name` nor a callable"
    if base is None:
        return "" if found.config is None else "its `config` must be None: this group has no sections"
    if not (isinstance(found.config, type) and issubclass(found.config, base)):
        return f"its `config` is no subclass of `{base.__module__}.{base.__qualname__}`"
    kinds = kinds_of(found.config)
    if kinds != (kind,):
        given = ", ".join(map(repr, kinds)) or "none"
        return f'its section must have a field `kind: Literal["{kind}"]`, and has {given}'
    return ""


def kinds_of(section: Any) -> tuple[Any, ...]:
    """The kinds that a section's class may have: the values of its field `kind`."""
    field = getattr(section, "model_fields", {}).get("kind")
    return get_args(field.annotation) if field is not None else ()
