"""Recipes from elsewhere: read within bounds, pinned when they come over the network, shown before they are written."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from o1kit.artifacts import disk_errors, write_atomic
from o1kit.errors import DataError, EnvironmentFailure, RecipeError
from o1kit.sharing.archive import read_archive, read_bounded, sha256
from o1kit.sharing.names import distinct, safe_name
from o1kit.sharing.tree import Held, OnDisk, Tree, choose, closure, left_out, stay_inside

GZIP = b"\x1f\x8b"
_GIT = re.compile(r"(?:git\+)?(?P<url>(?:https?|file)://[^@#]+)@(?P<pin>[^@#]*)")
_COMMIT_AT = re.compile(r"https?://[^@#]+@[0-9a-f]{40,64}")
_PASSWORD = re.compile(r"[^/]*://[^/]*@")
_HF = re.compile(r"hf://(?P<kind>datasets/)?(?P<name>[^/@#]+/[^/@#]+)(?:@(?P<pin>[^@#]*))?")
_WANDB = re.compile(r"wandb://(?P<name>[^/@#]+/[^/@#]+/[^/@#:]+:[^/@#:]+)(?:@(?P<pin>[^@#]*))?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    source: str
    recipe: str | None = None
    """Which recipe of several."""
    sha256: str | None = None
    network: bool = False


@dataclass(frozen=True, slots=True)
class Pulled:
    """A recipe with the files it is made of, in memory."""

    recipe: str
    files: Mapping[str, bytes]
    origin: str
    """Where it is from, with what pins it."""
    links: tuple[str, ...] = ()
    """Links beside it, which are not followed."""


def fetch(wanted: Wanted) -> Pulled:
    """The recipe at a path or an address; nothing is written but to temporary folders, nothing is run.

    Raises:
        DataError: it is refused, or not what the hash says.
        EnvironmentFailure: it cannot be reached, or would need the network without leave.
    """
    source = wanted.source
    if _PASSWORD.match(source):
        raise DataError("an address must not hold a user or password: it ends up in logs. Leave it out.")
    if source.startswith(("git+", "file://")) or _COMMIT_AT.fullmatch(source):
        return _from_git(wanted)
    if source.startswith("hf://"):
        return _from_hub(wanted)
    if source.startswith("wandb://"):
        return _from_wandb(wanted)
    if "://" in source:
        return _from_web(wanted)
    path = Path(source)
    if path.is_dir():
        _no_hash(wanted, "a folder has none")
        return _one(OnDisk(path), wanted, source)
    content = read_bounded(path)
    _check_hash(content, wanted)
    return _unpacked(content, path.name, wanted, OnDisk(path.parent))


def write(pulled: Pulled, folder: Path) -> None:
    """Writes the files into a new folder: all of them, or nothing.

    Raises:
        EnvironmentFailure: the folder exists and holds something, or cannot be written to.
    """
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
        raise EnvironmentFailure(f"{folder}: is there already. Name a new folder with --out.")
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
            made = Path(name) / "recipe"
            lay_out(pulled.files, made)
            if folder.exists():
                folder.rmdir()
            os.rename(made, folder)


def lay_out(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes files with safe names below a folder that nobody else writes to."""
    distinct(files)
    for name, content in files.items():
        write_atomic(folder / safe_name(name), content)


def composed(pulled: Pulled) -> tuple[Any, RecipeError | None]:
    """A pulled recipe's data as they are composed, and what is wrong with it here, if anything is.

    It is read in a temporary folder, and validated; nothing of it is run. Of one that is wrong, the data are what can
    be composed, with variables that are not set here as they are written.
    """
    from o1kit.recipe.interpolate import interpolate
    from o1kit.recipe.layers import read_layers
    from o1kit.recipe.loader import load

    with _laid_out(pulled) as folder:
        try:
            return load(folder / pulled.recipe).source.data, None
        except RecipeError as error:
            wrong = _at_home(error, f"{folder}/")
        source = read_layers(folder / pulled.recipe).source
        interpolate(source, _Unset(os.environ))
        return source.data, wrong


def _at_home(error: RecipeError, folder: str) -> RecipeError:
    """The error without the temporary folder in its places and messages."""

    def told(text: str) -> str:
        return text.replace(folder, "")

    faults = [replace(fault, place=told(fault.place), message=told(fault.message)) for fault in error.faults]
    return RecipeError(told(str(error)), faults)


class _Unset(dict[str, str]):
    """Variables of the environment; one that is not set holds how it is written."""

    def get(self, name: str, default: object = None) -> str:
        """What it holds."""
        return super().get(name, f"${{env:{name}}}")


@contextmanager
def _laid_out(pulled: Pulled) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="o1kit-") as name:
        lay_out(pulled.files, Path(name))
        yield Path(name)


def _from_git(wanted: Wanted) -> Pulled:
    from o1kit.sharing.git import COMMIT, fetched
    from o1kit.sharing.web import check

    match = _GIT.fullmatch(wanted.source)
    if match is None or not COMMIT.fullmatch(match["pin"]):
        raise DataError(f"{wanted.source}: name the commit: git+https://host/repository@COMMIT, all its 40 digits.")
    _no_hash(wanted, "the commit is its hash")
    if not match["url"].startswith("file://"):
        _network(wanted)
        check(match["url"])
    with fetched(match["url"], match["pin"]) as commit:
        return _one(commit, wanted, wanted.source)


def _from_hub(wanted: Wanted) -> Pulled:
    from o1kit.sharing.git import COMMIT

    match = _HF.fullmatch(wanted.source)
    if match is None or not COMMIT.fullmatch(match["pin"] or ""):
        raise DataError(f"{wanted.source}: name the commit: hf://user/repository@COMMIT, all its 40 digits.")
    _no_hash(wanted, "the commit is its hash")
    if wanted.network:
        os.environ["HF_HUB_OFFLINE"] = "0"  # before the library is imported
    from o1kit.sharing.hub import HubCommit

    tree = HubCommit(match["name"], "dataset" if match["kind"] else "model", match["pin"], wanted.network)
    return _one(tree, wanted, wanted.source)


def _from_wandb(wanted: Wanted) -> Pulled:
    match = _WANDB.fullmatch(wanted.source)
    if match is None or not match["pin"]:
        raise DataError(
            f"{wanted.source}: write wandb://entity/project/artifact:version@DIGEST, the digest as W&B shows."
        )
    _no_hash(wanted, "the digest is its hash")
    _network(wanted)
    from o1kit.sharing.hub import artifact_files

    files = artifact_files(match["name"], match["pin"])
    packed = [content for content in files.values() if content.startswith(GZIP)]
    if len(files) == len(packed) == 1:
        return _unpacked(packed[0], wanted.source, wanted, Held({}))
    return _one(Held(files), wanted, wanted.source)


def _from_web(wanted: Wanted) -> Pulled:
    from o1kit.sharing.web import check, download

    check(wanted.source)
    _network(wanted)
    if wanted.sha256 is None:
        raise DataError(f"{wanted.source}: give its hash with --sha256. `o1kit recipe pack` prints it to its author.")
    content = download(wanted.source)
    _check_hash(content, wanted)
    name = wanted.source.partition("?")[0].rpartition("/")[2]
    return _unpacked(content, name, wanted, Held({}))


def _unpacked(content: bytes, name: str, wanted: Wanted, beside: Tree) -> Pulled:
    """An archive's files, or a recipe file with what it extends beside it."""
    pin = f"{wanted.source}, sha256 {sha256(content)}"
    if content.startswith(GZIP):
        manifest, files = read_archive(content, wanted.source)
        recipe = manifest.recipe if wanted.recipe is None else safe_name(wanted.recipe)
        stay_inside(files, recipe, manifest.lock, wanted.source)
        return Pulled(recipe, files, pin)
    if not name.lower().endswith((".yaml", ".yml", ".lock")):
        raise DataError(f"{wanted.source}: neither an archive of o1kit nor a recipe (.yaml, .lock).")
    tree = Held({name: content}) if isinstance(beside, Held) else beside
    files = closure(tree, safe_name(name), wanted.source)
    return Pulled(name, files, pin, left_out(tree, name, files, recipes=False))


def _one(tree: Tree, wanted: Wanted, origin: str) -> Pulled:
    name = choose(tree, wanted.recipe, wanted.source)
    files = closure(tree, name, wanted.source)
    return Pulled(name, files, origin, left_out(tree, name, files, recipes=True))


def _check_hash(content: bytes, wanted: Wanted) -> None:
    if wanted.sha256 is not None and sha256(content) != wanted.sha256.lower():
        raise DataError(f"{wanted.source}: its sha256 is {sha256(content)}, not {wanted.sha256}. Ask its author.")


def _no_hash(wanted: Wanted, reason: str) -> None:
    if wanted.sha256 is not None:
        raise DataError(f"{wanted.source}: --sha256 is for files: {reason}. Leave it out.")


def _network(wanted: Wanted) -> None:
    if not wanted.network:
        raise EnvironmentFailure(f"{wanted.source}: this needs the network. Add --network if that is what you want.")
