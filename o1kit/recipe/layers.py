"""The files of a recipe: what it extends, left to right, then itself, then overlays; each read once and bounded."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from o1kit.errors import RecipeError
from o1kit.nearest import nearest
from o1kit.recipe.merge import Merger
from o1kit.recipe.nodes import Node, walk
from o1kit.recipe.source import MAX_BYTES, MAX_NODES, Fault, Source, parse

EXTENDS = "extends"
MAX_LEVELS = 16
MAX_FILES = 64
MAX_TOTAL = 4 * MAX_BYTES
RECIPES = (".yaml", ".yml", ".lock")
LEAST = 3
"""Shorter names are like too many others."""
SHOWN = 8
"""Most files of a folder that are named."""


@dataclass
class Layers:
    """The files that were read, composed."""

    source: Source
    root: Node
    files: list[Path] = field(default_factory=list)
    """In the order in which they count."""
    folders: dict[str, Path] = field(default_factory=dict)
    """Where each file is, by the name that its places begin with."""


def read_layers(path: Path, overlays: Sequence[Path] = ()) -> Layers:
    """A recipe file and all that it extends, changed by overlays; what is wrong is in the source's faults.

    Raises:
        RecipeError: the recipe cannot be read at all.
    """
    reader = _Reader(Source(str(path)))
    reader.add(path, str(path))
    reader.layers.source.based = not reader.layers.source.partial
    for file in overlays:
        reader.overlay(file)
    layers = reader.layers
    if sum(1 for _ in islice(walk(layers.root), MAX_NODES + 1)) > MAX_NODES:
        layers.source.faults.append(Fault(str(path), (), f"its files hold more than {MAX_NODES} values together."))
        return layers
    layers.source.settle(layers.root)
    return layers


class _Reader:
    """Reads files depth first, so that what is inherited comes before what changes it."""

    def __init__(self, source: Source) -> None:
        self.layers = Layers(source, Node({}, source.name))
        self._merger = Merger(source.faults.append, removed=source.removed)
        self._open: list[Path] = []
        self._done: set[Path] = set()
        self._bytes = 0

    def overlay(self, file: Path) -> None:
        """Puts an overlay on top; one that cannot be read is a fault."""
        try:
            self.add(file, str(file))
        except RecipeError as error:
            self._without(Fault(str(file), (), str(error).removeprefix(f"{file}: ")))

    def add(self, file: Path, name: str) -> None:
        """Reads a file and what it extends, and puts them on top of what is there."""
        source, real = self.layers.source, file.resolve()
        text = read_text(file, name)
        self._bytes += len(text)
        parsed = parse(text, name, operators=True)
        source.texts[name] = parsed.texts[name]
        source.faults += parsed.faults
        root = parsed.root
        if root is None or not isinstance(root.value, dict) or root.tag:
            self.layers.files.append(file)
            text = "a recipe is a mapping of keys to values. Start from one of o1kit's: o1kit recipe new NAME."
            self._without(*[Fault(root.place, (), text)] if root is not None and not parsed.faults else ())
            return
        self._look_alikes(root.value)
        self._open.append(real)
        self._bases(root.value.pop(EXTENDS, None), file, name)
        self._open.pop()
        self._done.add(real)
        self.layers.files.append(file)
        self.layers.folders[name] = file.parent
        self._merger.into(self.layers.root.value, root.value)
        self.layers.root.place = root.place

    def _look_alikes(self, entries: dict[str, Node]) -> None:
        """Takes out keys that were meant to be `extends`: what they name is missing."""
        from o1kit.recipe.schema import Recipe

        for key in [key for key in entries if key not in Recipe.model_fields and key != EXTENDS]:
            if nearest(key, [*Recipe.model_fields, EXTENDS]) == EXTENDS:
                text = f"unknown key {key!r}. Did you mean {EXTENDS!r}?"
                self._without(Fault(entries.pop(key).key, (key,), text, EXTENDS))

    def _without(self, *faults: Fault) -> None:
        """Goes on without a file: what seems to be missing may be in there."""
        self.layers.source.faults += faults
        self.layers.source.partial = self._merger.partial = True

    def _bases(self, node: Node | None, file: Path, name: str) -> None:
        """What a file says that it extends."""
        if node is None:
            return
        items = node.value if isinstance(node.value, list) else [node]
        for item in items:
            if item.tag or not isinstance(item.value, str) or not item.value or "\n" in item.value:
                self._fault(item, f"`{EXTENDS}` names a file, or a list of files, as in `{EXTENDS}: base.yaml`.")
            elif "${" in item.value:
                self._fault(item, f"`{EXTENDS}` is followed before anything else is known: write the file's name.")
            elif "://" in item.value:
                self._fault(item, "a recipe extends files only. Copy it here first (o1kit recipe pull).")
            else:
                self._base(item, file.parent / item.value, os.path.normpath(Path(name).parent / item.value))

    def _base(self, item: Node, base: Path, name: str) -> None:
        try:
            real = base.resolve()
        except (OSError, RuntimeError, ValueError):
            self._fault(item, f"{name}: this is no path of a file.")
            return
        if real in self._open:
            circle = [p.name for p in self._open[self._open.index(real) :]] + [real.name]
            self._fault(item, f"the files extend one another in a circle: {' -> '.join(circle)}. Remove one of them.")
        elif real in self._done:  # a second time it would only undo what came between
            return
        elif len(self._open) >= MAX_LEVELS:
            self._fault(item, f"more than {MAX_LEVELS} files extend one another. Put some of them together.")
        elif len(self._done) + len(self._open) >= MAX_FILES or self._bytes > MAX_TOTAL:
            self._fault(item, f"a recipe is made of at most {MAX_FILES} files and {MAX_TOTAL} bytes.")
        else:
            try:
                self.add(base, name)
            except RecipeError as error:
                self._fault(item, str(error))

    def _fault(self, item: Node, text: str) -> None:
        self._without(Fault(item.place, (EXTENDS,), text))


def read_text(path: Path, name: str) -> str:
    """The text of a file that is to be a recipe.

    Raises:
        RecipeError: there is none, it is none, or it is too large.
    """
    try:
        # Only a regular file is opened: a pipe would never end.
        if path.is_dir():
            raise RecipeError(f"{name}: this is a folder. Give a recipe file{_in_folder(path)}.")
        if not stat.S_ISREG(path.stat().st_mode):
            raise RecipeError(f"{name}: this is no regular file. Give a recipe file.")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise RecipeError(f"{name}: the file is larger than {MAX_BYTES} bytes: this is not a recipe.")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"{name}: there is no such file.{_beside(path)}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{name}: not a text file (byte {error.start} is not UTF-8). Give a YAML recipe.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecipeError(f"{name}: cannot be read: {reason}. Check its name and permissions.") from None


def _recipes_in(folder: Path) -> list[str]:
    """Names of what may be recipes in a folder."""
    try:
        return sorted(p.name for p in folder.iterdir() if p.suffix in RECIPES)
    except OSError:
        return []


def _in_folder(folder: Path) -> str:
    first = _recipes_in(folder)[:1]
    return f", for example {folder / first[0]}" if first else "; this folder holds none"


def _beside(path: Path) -> str:
    """What was probably meant by a file that is not there, or what is there."""
    found = _recipes_in(path.parent)
    stems = {Path(name).stem: name for name in reversed(found)}
    meant = nearest(path.stem, [stem for stem in stems if len(stem) >= LEAST])
    if meant is not None:
        return f" Did you mean {str(path.parent / stems[meant])!r}?"
    return f" In {path.parent}: {', '.join(found[:SHOWN])}." if found else " Check the path."
