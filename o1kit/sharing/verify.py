"""Whether an archive or a lock is what it says, and whether this machine is what was locked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from o1kit.errors import DataError
from o1kit.recipe.loader import load
from o1kit.recipe.schema import Recipe
from o1kit.sharing.archive import read_archive, read_bounded, sha256
from o1kit.sharing.lock import Difference, differences
from o1kit.sharing.pull import GZIP, lay_out
from o1kit.sharing.tree import stay_inside


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found to be right, and what is not as it was locked."""

    lines: tuple[str, ...]
    differences: tuple[Difference, ...]


def verify(path: Path, data: Path | None = None) -> Verified:
    """Checks an archive or a lock.

    Args:
        path: the file.
        data: folder with the files that the recipe reads; None: an archive's own, or those beside a lock.

    Raises:
        DataError: the archive is damaged or hostile, or the lock is none.
        RecipeError: the recipe in it is not valid here.
    """
    content = read_bounded(path)
    if not content.startswith(GZIP):
        return _lock(load(path).recipe, path.name, data or path.parent, absent=True)
    manifest, files = read_archive(content, path.name)
    lines = [
        f"sha256 {sha256(content)}",
        f"{len(files)} file{'s' * (len(files) != 1)}, as the manifest says ({manifest.made_by})",
    ]
    stay_inside(files, manifest.recipe, manifest.lock, path.name)
    with _laid_out(files) as folder:
        load(folder / manifest.recipe)
        lines.append(f"{manifest.recipe}: valid")
        if manifest.lock is None:
            return Verified((*lines, "no lock: nothing to compare this machine with"), ())
        lock = folder / manifest.lock
        # Data that did not come along can only be checked where they are.
        found = _lock(load(lock).recipe, manifest.lock, data or lock.parent, absent=data is not None)
    return Verified((*lines, *found.lines), found.differences)


def _lock(recipe: Recipe, name: str, directory: Path, *, absent: bool) -> Verified:
    if recipe.lock is None:
        raise DataError(f"{name}: has no section `lock`. Write one with o1kit recipe lock.")
    found = differences(recipe, directory, absent=absent)
    unchecked = [file for file in recipe.lock.files if not absent and not (directory / file).is_file()]
    lines = [f"{file}: not in the archive, not checked (--data FOLDER)" for file in unchecked]
    if not found:
        lines.append(f"{name}: this machine and its data are as locked")
    return Verified(tuple(lines), tuple(found))


@contextmanager
def _laid_out(files: dict[str, bytes]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="o1kit-") as name:
        lay_out(files, Path(name))
        yield Path(name)
