"""What a stage leaves on disk: files written whole or not at all, and `done.json`, which is written last.

`done.json` lists every file of the folder with its size and SHA-256. An artifact counts as finished only when all of
them are there and match, so a stage killed at any moment is simply not finished.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from o1kit.errors import DataError, EnvironmentFailure, O1kitError, ResourceError
from o1kit.functional.secrets import hide
from o1kit.protocols import Artifact

if TYPE_CHECKING:
    from torch import Tensor

DONE = "done.json"
CHECKPOINTS = "checkpoints"
"""Subfolder of what a killed stage continues from; it goes once the stage is done, and is no part of the artifact."""
FORMAT = 1
DEFAULT_FREE_MB = 500
END = 1 << 24
"""Bytes at either end of a large file that stand for it: weights that were trained differ everywhere."""
DATA = ("labels.jsonl", "pairs.jsonl", "trees.jsonl", "chains.jsonl")
"""Files of stages without weights that other stages are built on."""
NAMES = {"stage", "stages", "finished", "kind", "name", "run", "split", "against", "task", "fingerprint"}
NAMES |= {"policy", "base_policy", "search", "base_search"}
"""Keys of what o1kit itself names: it is written out in every recipe and read back, so nothing in it is hidden."""


def write_atomic(path: Path, content: str | bytes) -> None:
    """Writes a file so that a reader, or a crash, sees either the old content or the new one.

    Raises:
        ResourceError: the disk is full.
        EnvironmentFailure: the folder cannot be written to.
    """
    data = content.encode() if isinstance(content, str) else content
    write_stream(path, lambda stream: stream.write(data))


def write_stream(
    path: Path, write: Callable[[BinaryIO], object], check: Callable[[Path], object] | None = None
) -> None:
    """Like `write_atomic`, for content that a function produces; `check` may still reject the finished file."""
    with disk_errors(path):
        if path.exists() and not path.is_file():
            raise EnvironmentFailure(f"{path}: is no regular file. Name a file to write.")
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, never in $TMPDIR: a rename is atomic only within one file system.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o644)
            if check is not None:
                check(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)


def write_json(path: Path, value: object, *, clean: bool = False) -> None:
    """Writes a value as indented JSON, atomically; numbers that JSON does not have become null.

    Args:
        path: the file.
        value: what it is to hold.
        clean: the value holds no text of the environment any more (see `public`), so texts are written as they are.
    """
    write_atomic(path, json.dumps(finite(value, clean=clean), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def finite(value: object, *, clean: bool = False) -> Any:
    """The value with every NaN and infinity replaced by None, and numbers of other libraries made plain.

    Texts that came from the environment are as they are written in the recipe, unless `clean` says that there are none.
    Keys, and what stands under `NAMES`, stay as they are.
    """
    if isinstance(value, Mapping):
        return {str(key): finite(item, clean=clean or _names(key, item)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item, clean=clean) for item in value]
    if isinstance(value, str):
        return value if clean else hide(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "item"):
        return finite(value.item(), clean=clean)
    return str(value)


def _names(key: object, item: object) -> bool:
    """True for a name, or a list of names, of o1kit's own."""
    return key in NAMES and (
        isinstance(item, str) or (isinstance(item, list | tuple) and all(isinstance(one, str) for one in item))
    )


def save_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes named tensors as safetensors, atomically."""
    from safetensors.torch import save

    write_atomic(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))


def load_weights(path: Path) -> dict[str, Tensor]:
    """The named tensors of a safetensors file.

    Raises:
        DataError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot read the weights: {error}. Run the stage that writes them again.") from error


def write_done(directory: Path, stage: str, kind: str, fingerprint: str, **details: object) -> Artifact:
    """Marks a stage's folder as finished: the manifest of all its files, and the given details.

    The details are written as they are: they hold no text of the environment (see `finite` and `public`).
    """
    files = {
        file.relative_to(directory).as_posix(): {"size": file.stat().st_size, "sha256": sha256_of(file)}
        for file in _files(directory)
    }
    write_json(
        directory / DONE,
        {"format": FORMAT, "stage": stage, "kind": kind, "fingerprint": fingerprint, **details, "files": files},
        clean=True,
    )
    return Artifact(stage, kind, directory, fingerprint)


def read_done(directory: Path) -> dict[str, Any] | None:
    """The content of a folder's `done.json`, or None if there is none that makes sense. Files are not checked."""
    try:
        done = json.loads((directory / DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(done, dict) or done.get("format") != FORMAT or not isinstance(done.get("files"), dict):
        return None
    return done


def read_artifact(directory: Path) -> Artifact | None:
    """The finished artifact in a folder: complete, every file as it was written; otherwise None."""
    done = read_done(directory)
    if done is None:
        return None
    try:
        for name, entry in done["files"].items():
            file = directory / name
            if file.stat().st_size != entry["size"] or sha256_of(file) != entry["sha256"]:
                return None
        return Artifact(str(done["stage"]), str(done["kind"]), directory, str(done["fingerprint"]))
    except (OSError, KeyError, TypeError):
        return None


def digest(directory: Path) -> str:
    """One hash over the weights of a finished stage, or over the data that it has made instead.

    Stages built on it compare it to notice a new version.
    """
    done = read_done(directory)
    if done is None:
        return ""
    hashes = {name: entry["sha256"] for name, entry in done["files"].items()}
    made = sorted(item for item in hashes.items() if item[0].endswith(".safetensors") or item[0] in DATA)
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()


def fingerprint_of(folder: Path) -> str:
    """One hash over a folder of weights: names, sizes, and both ends of every file of weights or settings."""
    found = hashlib.sha256()
    for file in sorted(
        f for f in folder.iterdir() if f.suffix in (".safetensors", ".json", ".gguf") and f.name != DONE
    ):
        size = file.stat().st_size
        found.update(f"{file.name}:{size}:".encode())
        with file.open("rb") as stream:
            found.update(stream.read(END))
            stream.seek(max(0, size - END))
            found.update(stream.read(END))
    return found.hexdigest()


def sha256_of(file: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def preflight(directory: Path, needed_mb: int = DEFAULT_FREE_MB) -> None:
    """Makes the folder and proves that it can be used, before anything expensive.

    Raises:
        EnvironmentFailure: nothing can be written there, or what was written cannot be read.
        ResourceError: less than `needed_mb` MiB are free.
    """
    probe = directory / ".o1kit-probe"
    try:
        write_atomic(probe, b"o1kit")
    except EnvironmentFailure as error:
        raise EnvironmentFailure(f"{str(error).removesuffix('.')}, with --runs-dir.") from error
    with disk_errors(probe):
        same = probe.read_bytes() == b"o1kit"
        probe.unlink()
    if not same:
        raise EnvironmentFailure(f"{directory}: a file read back differs from what was written. Use another disk.")
    free_mb = shutil.disk_usage(directory).free // 2**20
    if free_mb < needed_mb:
        raise ResourceError(
            f"{directory}: {free_mb} MiB free on this disk, {needed_mb} MiB needed. Free some space, or choose another "
            "folder with --runs-dir."
        )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns the operating system's refusals into errors that say what to do."""
    try:
        yield
    except OSError as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: OSError) -> O1kitError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(f"{path}: no space left on the disk. Free some; the run then continues where it was.")
    return EnvironmentFailure(
        f"{path}: cannot be written: {error.strerror or error}. Choose a folder you may write to."
    )


def _files(directory: Path) -> list[Path]:
    return sorted(
        file
        for file in directory.rglob("*")
        if file.is_file()
        and file != directory / DONE
        and file.suffix != ".tmp"
        and file.relative_to(directory).parts[0] != CHECKPOINTS
    )


def _sync_directory(directory: Path) -> None:
    with suppress(OSError):  # some file systems cannot sync a folder; the file itself is synced
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
