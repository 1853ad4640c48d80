"""Files of a stranger, read one by one: which of them make up one recipe."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from o1kit.errors import DataError
from o1kit.recipe.source import parse
from o1kit.registry import suggestion
from o1kit.sharing.archive import MAX_MEMBERS, MAX_TOTAL, read_bounded
from o1kit.sharing.inputs import READ
from o1kit.sharing.names import safe_name

RECIPES = (".yaml", ".yml", ".lock")
SHIPPED = (".jsonl", ".json")
"""Endings of data files that come along with a recipe."""
README = "README.md"
SHOWN = 12
"""Most names that a message tells."""


class Tree(Protocol):
    """Named files somewhere: a folder, an archive, a commit."""

    def names(self) -> list[str]:
        """Names of all files, with `/`."""

    def read(self, name: str) -> bytes | None:
        """A file's content, or None where there is no such plain file.

        Raises:
            DataError: it is too large or cannot be read.
        """

    def links(self, names: Iterable[str] = ()) -> list[str]:
        """Names of links, which are not followed; of these names also those that lie behind one."""


@dataclass(frozen=True, slots=True)
class Held:
    """Files in memory."""

    files: Mapping[str, bytes]

    def names(self) -> list[str]:
        """Names of all files."""
        return sorted(self.files)

    def read(self, name: str) -> bytes | None:
        """A file's content, or None."""
        return self.files.get(name)

    def links(self, names: Iterable[str] = ()) -> list[str]:
        """None: what is held is plain."""
        return []


@dataclass(frozen=True, slots=True)
class OnDisk:
    """Files below a folder; links are not followed."""

    root: Path

    def names(self) -> list[str]:
        """Names of the files in the folder itself."""
        try:
            return sorted(f.name for f in self.root.iterdir() if f.is_file() and not f.is_symlink())
        except OSError as error:
            raise DataError(f"{self.root}: cannot be read: {error.strerror or error}. Check its permissions.") from None

    def read(self, name: str) -> bytes | None:
        """A file's content, or None for a link or nothing."""
        place = self.root / name
        return read_bounded(place) if not self._linked(name) and place.is_file() else None

    def links(self, names: Iterable[str] = ()) -> list[str]:
        """Links in the folder itself, and those of the names that are links or lie behind one."""
        own: set[str] = set()
        with suppress(OSError):  # a folder that cannot be read
            own |= {file.name for file in self.root.iterdir() if file.is_symlink()}
        return sorted(own | {name for name in names if self._linked(name)})

    def _linked(self, name: str) -> bool:
        parts = name.split("/")
        return any(self.root.joinpath(*parts[: i + 1]).is_symlink() for i in range(len(parts)))


def choose(tree: Tree, wanted: str | None, source: str) -> str:
    """The name of the recipe in a tree: the wanted one, or the only one at its top.

    Raises:
        DataError: there is none, or several.
    """
    if wanted is not None:
        return safe_name(wanted)
    names = _recipes(tree)
    top = [name for name in names if "/" not in name] or names
    if len(top) == 1:
        return safe_name(top[0])
    if not top:
        links = [name for name in tree.links() if name.lower().endswith(RECIPES[:2])]
        beside = f" Links are not followed: {', '.join(map(repr, links[:SHOWN]))}." if links else ""
        raise DataError(f"{source}: holds no recipe (.yaml).{beside}")
    listed = ", ".join(repr(name) for name in top[:SHOWN])
    raise DataError(f"{source}: holds {len(top)} recipes. Choose with --recipe: {listed}.")


def closure(tree: Tree, recipe: str, source: str, others: Iterable[str] = ()) -> dict[str, bytes]:
    """The files that make up one recipe: itself, what it extends, data that lie beside it, its lock and its README.

    Args:
        tree: where they are.
        recipe: its name in the tree.
        source: what messages call the tree.
        others: further recipe files, taken and followed in the same way.

    Raises:
        DataError: one is missing, too large, or outside of the tree.
    """
    found: dict[str, bytes] = {}
    waiting = [*others, recipe]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        content = tree.read(safe_name(name))
        if content is None:
            there = _recipes(tree)[:SHOWN] if name == recipe else []
            hint = suggestion(name, there) if there else " Ask for all files of the recipe."
            raise DataError(f"{source}: {name!r} is not there (or is a link).{hint}")
        found[name] = content
        data = raw(content, name)
        waiting += [_inside(name, base, source) for base in extended(data)]
        for path in dict.fromkeys(paths(data)):
            _take_data(tree, name, path, found)
        if len(found) > MAX_MEMBERS or sum(map(len, found.values())) > MAX_TOTAL:
            raise DataError(f"{source}: more than a recipe needs. Choose a smaller one.")
    for beside in _beside(recipe):
        extra = tree.read(beside) if beside not in found else None
        found |= {safe_name(beside): extra} if extra is not None else {}
    return found


def left_out(tree: Tree, recipe: str, found: Mapping[str, bytes], *, recipes: bool) -> tuple[str, ...]:
    """The links in a tree that stand for files which a recipe would come with.

    Args:
        tree: where the files are from.
        recipe: the one that is used.
        found: what it is made of: see `closure`.
        recipes: also links that are recipes by their names.
    """
    wanted = set(_beside(recipe))
    for name in found:
        data = raw(found[name], name) if name.lower().endswith(RECIPES[:2]) or name == recipe else None
        wanted |= {joined for path in paths(data) if (joined := _data_name(name, path)) is not None}
    wanted -= found.keys()
    return tuple(name for name in tree.links(wanted) if name in wanted or (recipes and name.lower().endswith(RECIPES)))


def stay_inside(files: Mapping[str, bytes], recipe: str, lock: str | None, source: str) -> None:
    """Makes sure that no recipe among an archive's files extends what is not among them.

    Args:
        files: content by name.
        recipe: the one that is to be used.
        lock: the name of its lock.
        source: what messages call the archive.

    Raises:
        DataError: one does, or the recipe is not there.
    """
    others = [name for name in files if name.lower().endswith(RECIPES)]
    closure(Held(files), recipe, source, [*others, lock] if lock is not None else others)


def extending(files: Mapping[str, bytes], recipe: str = "") -> dict[str, Any]:
    """The data of every file that counts as a recipe: by its ending, or because one of them extends it.

    Args:
        files: content by name.
        recipe: one that counts whatever its ending.

    Raises:
        DataError: one of them is no recipe.
    """
    found: dict[str, Any] = {}
    waiting = [name for name in files if name.lower().endswith(RECIPES) or name == recipe]
    while waiting:
        name = waiting.pop()
        if name in files and name not in found:
            found[name] = raw(files[name], name)
            waiting += [posixpath.normpath(posixpath.join(posixpath.dirname(name), b)) for b in extended(found[name])]
    return {name: found[name] for name in sorted(found)}


def raw(content: bytes, name: str) -> Any:
    """A recipe file's data as it is written: not composed, not validated.

    Raises:
        DataError: it is not text, or no YAML.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not a text file (byte {error.start} is not UTF-8).") from None
    source = parse(text, name, operators=True)
    if not isinstance(source.data, dict):
        raise DataError(f"{name}: is no recipe: {source.faults[0].message if source.faults else 'not a mapping'}")
    return source.data


def extended(data: Any) -> list[str]:
    """Files that a recipe's `extends` names."""
    value = data.get("extends", []) if isinstance(data, dict) else []
    names = [value] if isinstance(value, str) else value
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def paths(data: Any) -> list[str]:
    """Files and folders that data name, as they are written."""
    return [value for key, value in pairs(data) if key in READ and isinstance(value, str)]


def pairs(data: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth; items of lists under the list's key."""
    items: Sequence[tuple[str, Any]] = list(data.items()) if isinstance(data, dict) else []
    for key, value in items:
        for item in value if isinstance(value, list) else [value]:
            yield key, item
            yield from pairs(item)


def _recipes(tree: Tree) -> list[str]:
    """Names of the files of a tree that are recipes by their ending."""
    return [name for name in tree.names() if name.lower().endswith(RECIPES[:2])]


def _inside(name: str, path: str, source: str) -> str:
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
    if joined.startswith(("..", "/")):
        raise DataError(f"{source}: {name!r} extends {path!r}, outside of what is shared. Share the folder above.")
    return joined


def _beside(recipe: str) -> tuple[str, str]:
    """What comes along with a recipe though it does not name it: its lock and its README."""
    return posixpath.splitext(recipe)[0] + ".lock", posixpath.join(posixpath.dirname(recipe), README)


def _data_name(name: str, path: str) -> str | None:
    """The name of a data file that a recipe reads and may come with; None for any other."""
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
    if joined.startswith(("..", "/")) or not joined.lower().endswith(SHIPPED):
        return None
    with suppress(DataError):  # a name that is not written anywhere, such as one with ${...}: not taken
        return safe_name(joined)
    return None


def _take_data(tree: Tree, name: str, path: str, found: dict[str, bytes]) -> None:
    joined = _data_name(name, path)
    if joined is None or joined in found:
        return
    with suppress(DataError):  # too large
        content = tree.read(joined)
        if content is not None:
            found[joined] = content
