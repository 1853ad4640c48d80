"""The recipes that come with o1kit: where they lie, and what their headers say of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import o1kit
from o1kit.errors import RecipeError
from o1kit.registry import suggestion

FIELDS = ("What", "Hardware", "Before", "Run", "Expect")
"""What the comment at the top of a shipped recipe tells; `Before` is for those that need something first."""
_FIELD = re.compile(rf"# ({'|'.join(FIELDS)}): (.*)")


@dataclass(frozen=True, slots=True)
class Shipped:
    """One recipe that comes with o1kit."""

    name: str
    """What commands call it: its path without the ending."""
    path: Path
    header: dict[str, str]
    """What its header says, by `FIELDS`."""


def folder() -> Path:
    """The folder of the recipes that come with o1kit: inside an installed package, or that of a checkout."""
    package = Path(o1kit.__file__).parent
    installed = package / "_recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def shipped() -> list[Shipped]:
    """All of them, by name; parts that others extend have no header and are left out."""
    root = folder()
    found = []
    for path in sorted(root.rglob("*.yaml")):
        header = header_of(path.read_text(encoding="utf-8"))
        if header:
            found.append(Shipped(path.relative_to(root).with_suffix("").as_posix(), path, header))
    return found


def find(name: str) -> Shipped:
    """The one with a name.

    Raises:
        RecipeError: there is none.
    """
    known = {recipe.name: recipe for recipe in shipped()}
    wanted = name.removesuffix(".yaml").removeprefix("recipes/")
    if wanted not in known:
        raise RecipeError(f"no recipe {name!r} comes with o1kit.{suggestion(wanted, list(known))}")
    return known[wanted]


def header_of(text: str) -> dict[str, str]:
    """What the comment at the top of a recipe tells, by `FIELDS`; lines that go on are joined."""
    found: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        match = _FIELD.match(line)
        if match:
            current = match[1]
            found[current] = match[2].strip()
        elif current and line.startswith("#  "):
            found[current] += f" {line[1:].strip()}"
        else:
            current = ""
    return found
