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
from typing import Any

from o1kit.config import Config

API = 1
"""Version of the protocols in `o1kit.protocols` and of this file; a plugin made for another is refused."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One kind of a group (see `o1kit.registry`)."""

    api: int
    """`API` as it was when the plugin was written: a number, not the name."""
    config: type[Config]
    """Section with a field `kind: Literal["my_kind"]`."""
    factory: str | Callable[..., Any]
    """`package.module:name`, or the callable; called as the built-in kinds of the group are."""
