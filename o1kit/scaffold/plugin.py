"""`make_plugin`: a new installable package with one kind that works, its tests, and nothing that was there before."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from o1kit import registry
from o1kit.artifacts import disk_errors
from o1kit.errors import DataError, RecipeError
from o1kit.plugin import API

TEMPLATES = Path(__file__).parent / "templates"
COMMON, ENDING = "common", ".template"
GROUPS = tuple(sorted(path.name for path in TEMPLATES.iterdir() if path.is_dir() and path.name != COMMON))
"""The groups that there are templates for."""
CALLED = {"teachers": "count_bits"}
"""Groups whose example has a name of its own, whatever the package is called: a teacher has that of its generator."""
PREFIX = "o1kit-"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 40


@dataclass(frozen=True, slots=True)
class Names:
    """What a plugin is called, in all the places where it is called something."""

    distribution: str
    """What pip calls it: `o1kit-first-twice`."""
    package: str
    """What Python calls it: `o1kit_first_twice`."""
    kind: str
    """What recipes call it: `first_twice`; of a command, what is typed: `first-twice`."""
    type: str
    """What its class is called: `FirstTwice`."""


def names_of(name: str, group: str, taken: Collection[str] = ()) -> Names:
    """The names that follow from one: `first-twice` or `o1kit-first-twice`.

    Args:
        name: what the package is called.
        group: what it adds a kind to.
        taken: names that the kind must not have, besides those of the group's kinds.

    Raises:
        RecipeError: it is no name, or one that Python, o1kit or another plugin has already.
    """
    bare = name.removeprefix(PREFIX)
    if not _NAME.fullmatch(bare) or len(name) > LONGEST:
        raise RecipeError(
            f"{name[: LONGEST + 20]!r} is no name for a plugin: use at most {LONGEST} small letters and digits, words "
            "joined by hyphens, a letter first. For example: first-twice."
        )
    package = name.replace("-", "_")
    if keyword.iskeyword(package) or package in sys.stdlib_module_names or package == "o1kit":
        raise RecipeError(f"{name!r} is the name of a part of Python or of o1kit itself. Try: my-{name}.")
    kind = CALLED.get(group) or (bare if group == registry.COMMANDS else bare.replace("-", "_"))
    if kind in taken or kind in registry.names(group):
        there = "built-in" if kind in taken else registry.origin(group, kind)
        remedy = "Begin with that package, or uninstall it." if group in CALLED else "Choose another name."
        raise RecipeError(f"there is a kind {kind!r} in o1kit.{group} already ({there}). {remedy}")
    return Names(name, package, kind, "".join(word.capitalize() for word in bare.split("-")))


def make_plugin(name: str, group: str, out: Path, taken: Collection[str] = ()) -> tuple[Path, list[Path]]:
    """The folder of a new package, and the files written to it.

    Args:
        name: what the package is called, with or without `o1kit-` in front.
        group: what it adds a kind to.
        out: folder in which its folder is made.
        taken: names that the kind must not have, besides those of the group's kinds.

    Raises:
        RecipeError: there is no such group, or the name will not do.
        DataError: there is something in the way: nothing is ever overwritten.
    """
    if group not in GROUPS:
        raise RecipeError(f"there is no template for {group!r}.{registry.suggestion(group, list(GROUPS))}")
    names = names_of(name, group, taken)
    folder = out / names.distribution
    files = dict(_filled(group, names))
    with disk_errors(folder):
        if folder.exists() or folder.is_symlink():
            raise DataError(f"{folder} exists already, and is left as it is. Choose another name, or another --out.")
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("x", encoding="utf-8") as stream:
                stream.write(text)
    return folder, [folder / path for path in files]


def _filled(group: str, names: Names) -> list[tuple[str, str]]:
    """Paths and texts of all files, the places of the names filled in; a group's own come after those of all groups."""
    words = {
        "distribution": names.distribution,
        "package": names.package,
        "kind": names.kind,
        "type": names.type,
        "group": group,
        "entry": "command" if group == registry.COMMANDS else "plugin",
        "api": str(API),
        "o1kit": _version(),
    }
    found = []
    for root in (TEMPLATES / COMMON, TEMPLATES / group):
        for path in sorted(root.rglob(f"*{ENDING}")):
            name = path.relative_to(root).as_posix().removesuffix(ENDING)
            found.append((_fill(name, words), _fill(path.read_text(encoding="utf-8"), words)))
    return found


def _fill(text: str, words: dict[str, str]) -> str:
    return re.sub(r"__([a-z0-9]+)__", lambda match: words.get(match[1], match[0]), text)


def _version() -> str:
    try:
        return version("o1kit")
    except PackageNotFoundError:
        return "0.1.0"
