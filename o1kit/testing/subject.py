"""`Subject`: the kind that is checked, with the options it is checked with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from o1kit import registry
from o1kit.config import Config

T = TypeVar("T")


def section_type(group: str) -> Any:
    """What a recipe's section of a group is: the union of the kinds there are."""
    from o1kit.models.config import EngineConfig
    from o1kit.rewards.config import RewardConfig
    from o1kit.search.config import SearchConfig
    from o1kit.tasks.config import SourceConfig

    return {"engines": EngineConfig, "rewards": RewardConfig, "searches": SearchConfig, "tasks": SourceConfig}[group]


@dataclass(frozen=True)
class Subject:
    """One kind of a group, its options, and the folder that relative paths in them start from."""

    group: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    base: Path = Path()
    _memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.group} {self.kind!r}"

    @property
    def section(self) -> dict[str, Any]:
        """The section as a recipe holds it."""
        return {"kind": self.kind, **self.options}

    @cached_property
    def config(self) -> Config:
        """The section, validated as in a recipe.

        Raises:
            ValidationError: it is refused.
        """
        config: Config = TypeAdapter(section_type(self.group)).validate_python(self.section)
        return config

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` returned the first time: several checks compare with the same plain run."""
        if name not in self._memo:
            self._memo[name] = make()
        found: T = self._memo[name]
        return found

    @property
    def factory(self) -> Callable[..., Any]:
        """What makes it.

        Raises:
            RecipeError, EnvironmentFailure: there is no such kind, or it cannot be imported.
        """
        found: Callable[..., Any] = registry.lookup(self.group, self.kind)
        return found
