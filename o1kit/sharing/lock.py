"""Locks: a recipe with all its values and a section that says what it is to be repeated with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from platform import python_version

from o1kit.config import public
from o1kit.errors import DataError
from o1kit.functional.printable import one_line
from o1kit.plan import compile_recipe
from o1kit.recipe.compose import text_of
from o1kit.recipe.schema import Recipe
from o1kit.sharing.config import FileHash, LockConfig
from o1kit.sharing.inputs import file_hash, file_hashes, files_read, hub_models, plugin_versions
from o1kit.sharing.machine import code_hash, commit, environment_hash, package_versions, system

SUFFIX = ".lock"
MOST = 30
"""Most differences that one message lists."""
ABSENT = "absent"
NOT_CACHED = "not in the local cache"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was locked."""

    what: str
    locked: str
    here: str

    def __str__(self) -> str:
        return one_line(f"{self.what}: locked {self.locked}, here {self.here}")


def lock_of(recipe: Recipe, directory: Path) -> LockConfig:
    """What a recipe would be run with, here and now.

    Args:
        recipe: a valid recipe.
        directory: the folder that its paths start from.

    Raises:
        DataError: a file that it reads is missing.
    """
    from importlib.metadata import version

    return LockConfig(
        o1kit=version("o1kit"),
        code=code_hash(),
        commit=commit(),
        python=python_version(),
        platform=system(),
        packages=package_versions(),
        environment=environment_hash(),
        plugins=plugin_versions(recipe),
        files=file_hashes(recipe, directory),
        models=hub_models(recipe),
        fingerprints=fingerprints(recipe),
    )


def lock_text(recipe: Recipe, directory: Path, name: str, lock: LockConfig | None = None) -> str:
    """The text of a recipe's lock: itself a recipe, every value written out, with the section `lock`.

    `lock` is that section, if it is known already.

    Raises:
        DataError: a file that it reads is missing.
    """
    lock = lock or lock_of(recipe, directory)
    data = public(recipe, exclude={"lock"}) | {"lock": lock.model_dump(mode="json")}
    shown = one_line(name)
    header = f"""\
# Written by `o1kit recipe lock`: {shown} with every value, and what it is to be repeated with.
# Run: o1kit run FILE.lock (it refuses when data or versions differ; --allow-drift goes on)
"""
    return header + text_of(data)


def fingerprints(recipe: Recipe) -> dict[str, str]:
    """What each stage computes, by its name."""
    return {stage.name: stage.fingerprint for stage in compile_recipe(recipe).stages}


def differences(recipe: Recipe, directory: Path, *, absent: bool = True) -> list[Difference]:
    """What is not as a recipe's lock says; empty for a recipe without one.

    Args:
        recipe: the recipe, with its lock.
        directory: the folder that its paths start from.
        absent: whether a file that is not there counts; an archive holds no data.
    """
    lock = recipe.lock
    if lock is None:
        return []
    return [*_versions(lock, recipe), *_data(lock, recipe, directory, absent)]


def require(recipe: Recipe, directory: Path) -> None:
    """Makes sure that all is as a recipe's lock says, if it has one.

    Raises:
        DataError: something differs; all of it is named.
    """
    found = differences(recipe, directory)
    if found:
        lines = [f"  {difference}" for difference in found[:MOST]]
        more = [f"  ... and {len(found) - MOST} more"] if len(found) > MOST else []
        text = "\n".join([*lines, *more])
        raise DataError(f"not what was locked:\n{text}\nPut it back, or go on with --allow-drift: numbers may differ.")


def _versions(lock: LockConfig, recipe: Recipe) -> Iterator[Difference]:
    from importlib.metadata import version

    here = {"o1kit": version("o1kit"), "python": python_version(), "platform": system()}
    for what, now in here.items():
        then = getattr(lock, what)
        if then != now:
            yield Difference(what, then, now)
    if lock.code != code_hash() and lock.o1kit == here["o1kit"]:
        at = f" of commit {lock.commit[:12]}" if lock.commit else ""
        yield Difference("o1kit's code", f"{lock.code[:12]}{at}", f"{code_hash()[:12]} (same version, other code)")
    yield from _unequal("package", lock.packages, package_versions())
    yield from _unequal("plugin", lock.plugins, plugin_versions(recipe))


def _data(lock: LockConfig, recipe: Recipe, directory: Path, absent: bool) -> Iterator[Difference]:
    yield from _unequal("stage", _short(lock.fingerprints), _short(fingerprints(recipe)))
    files = files_read(recipe, directory)
    for name in sorted({*lock.files, *files}):
        then = lock.files.get(name)
        file = files.get(name)
        now = file_hash(file) if file is not None and file.is_file() else None
        if then != now and (absent or now is not None):
            yield Difference(name, _shown(then), _shown(now))
    yield from _models(lock, hub_models(recipe), absent)


def _models(lock: LockConfig, cached: Mapping[str, str | None], absent: bool) -> Iterator[Difference]:
    """Hub models that are not as locked; one that the recipe names and the lock does not is never right."""
    for name in sorted({*lock.models, *cached}):
        then = lock.models[name] or NOT_CACHED if name in lock.models else ABSENT
        now = cached.get(name) or NOT_CACHED
        if then != now and (absent or now != NOT_CACHED or then == ABSENT):
            yield Difference(f"model {name}", then, now)


def _unequal(what: str, then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            yield Difference(f"{what} {name}", then.get(name, ABSENT), now.get(name, ABSENT))


def _short(prints: Mapping[str, str]) -> dict[str, str]:
    return {name: text[:12] for name, text in prints.items()}


def _shown(file: FileHash | None) -> str:
    return f"sha256 {file.sha256[:12]} ({file.size} bytes)" if file is not None else ABSENT
