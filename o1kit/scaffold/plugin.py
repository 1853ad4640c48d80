"""`make_plugin`: a new installable package with one kind that works, its tests, and nothing that was there before."""

from __future__ import annotations

import keyword
import re
import sys
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
    """What recipes call it: `first_twice`."""
    type: str
    """What its class is called: `FirstTwice`."""


def names_of(name: str, group: str) -> Names:
    """The names that follow from one: `first-twice` or `o1kit-first-twice`.

    Raises:
        RecipeError: it is no name, or one that Python, o1kit or another plugin has already.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise RecipeError(
            f"{name[: LONGEST + 20]!r} is no name for a plugin: use at most {LONGEST} small letters and digits, words "
            "joined by hyphens, a letter first. For example: first-twice."
        )
    package = name.replace("-", "_")
    if keyword.iskeyword(package) or package in sys.stdlib_module_names or package == "o1kit":
        raise RecipeError(f"{name!r} is the name of a part of Python or of o1kit itself. Try: {PREFIX}{name}-search.")
    kind = name.removeprefix(PREFIX).replace("-", "_")
    if kind in registry.names(group):
        taken = registry.origin(group, kind)
        raise RecipeError(f"there is a kind {kind!r} in o1kit.{group} already ({taken}). Choose another name.")
    return Names(name, package, kind, "".join(word.capitalize() for word in kind.split("_")))


def make_plugin(name: str, group: str, out: Path) -> tuple[Path, list[Path]]:
    """The folder of a new package, and the files written to it.

    Args:
        name: what the package is called, with or without `o1kit-` in front.
        group: what it adds a kind to.
        out: folder in which its folder is made.

    Raises:
        RecipeError: there is no such group, or the name will not do.
        DataError: there is something in the way: nothing is ever overwritten.
    """
    if group not in GROUPS:
        raise RecipeError(f"there is no template for {group!r}.{registry.suggestion(group, list(GROUPS))}")
    names = names_of(name, group)
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
    """Paths and texts of all files, the places of the names filled in."""
    words = {
        "distribution": names.distribution,
        "package": names.package,
        "kind": names.kind,
        "type": names.type,
        "group": group,
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
