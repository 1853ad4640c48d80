"""`.o1r` archives: gzipped tar files of plain files only, the same bytes for the same content, read within bounds.

    manifest.json    what the others are, with the size and SHA-256 of each
    ...              recipe, what it extends, lock, results

Reading takes the headers one by one and knows regular files of the oldest format only: links, devices, folders, sparse
files and extended headers are refused as such. Nothing is written before all of it was checked.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from o1kit.config import Config
from o1kit.errors import DataError
from o1kit.functional.printable import printable
from o1kit.sharing.config import FileHash
from o1kit.sharing.names import distinct, safe_name

SUFFIX = ".o1r"
MANIFEST = "manifest.json"
MAX_ARCHIVE = 32 * 2**20
"""Most bytes of an archive."""
MAX_TOTAL = 64 * 2**20
"""Most bytes it may unpack to."""
MAX_MEMBER = 32 * 2**20
"""Most bytes of one member."""
MAX_MEMBERS = 500
BLOCK = 512
KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


class Manifest(Config):
    """What an archive holds."""

    o1r: Literal[1] = 1
    """Version of the archive's format."""
    made_by: Annotated[str, Field(max_length=100)]
    """The o1kit that wrote it."""
    recipe: str
    """Name of the recipe among the files."""
    lock: str | None = None
    """Name of its lock."""
    files: dict[str, FileHash]
    """Every other member."""


def archive_bytes(manifest: Manifest, files: Mapping[str, bytes]) -> bytes:
    """An archive of the files: sorted, without times, owners or permissions of this machine.

    Raises:
        DataError: a name could not be read back, or there is too much of it.
    """
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    members = {MANIFEST: text.encode(), **{safe_name(name): files[name] for name in sorted(files)}}
    distinct(members)
    if len(members) > MAX_MEMBERS or max(map(len, members.values())) > MAX_MEMBER:
        raise DataError(f"too much for one archive: at most {MAX_MEMBERS} files of {MAX_MEMBER >> 20} MiB each.")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT, encoding="utf-8") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            try:
                tar.addfile(member, io.BytesIO(content))
            except ValueError as error:
                raise DataError(f"{name!r}: cannot be packed: {error}. Give it a shorter name.") from None
    packed = gzip.compress(stream.getvalue(), 9, mtime=0)
    if len(packed) > MAX_ARCHIVE or stream.tell() > MAX_TOTAL:
        raise DataError(f"too much for one archive: {len(packed) >> 20} MiB. Leave data and metrics out.")
    return packed


def manifest_of(recipe: str, lock: str | None, files: Mapping[str, bytes]) -> Manifest:
    """The manifest of files to be packed."""
    from importlib.metadata import version

    hashes = {name: FileHash(sha256=sha256(content), size=len(content)) for name, content in sorted(files.items())}
    return Manifest(made_by=f"o1kit {version('o1kit')}", recipe=recipe, lock=lock, files=hashes)


def read_archive(packed: bytes, name: str) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest of an archive and its files, all checked; nothing is written.

    Args:
        packed: the archive's bytes.
        name: what messages call it.

    Raises:
        DataError: it is no archive, a member is not what the manifest says, or it is more than a recipe needs.
    """
    members = _members(_unzipped(packed, name), name)
    distinct(members)
    if MANIFEST not in members:
        raise DataError(f"{name}: holds no {MANIFEST}, so it is no archive of o1kit. Make one with o1kit recipe pack.")
    try:
        manifest = Manifest.model_validate_json(members.pop(MANIFEST))
    except (ValidationError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "nested too deeply"}
        what = printable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
        raise DataError(f"{name}: {MANIFEST} makes no sense: {what}. Ask for the archive again.") from None
    _check(manifest, members, name)
    return manifest, members


def read_bounded(path: Path) -> bytes:
    """The bytes of an archive or a shared file.

    Raises:
        DataError: it cannot be read, or is too large.
    """
    try:
        if not path.is_file():
            raise DataError(f"{path}: is no file. Give a recipe, an archive, or an address.")
        with path.open("rb") as stream:
            content = stream.read(MAX_ARCHIVE + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}. Check the path.") from None
    if len(content) > MAX_ARCHIVE:
        raise DataError(f"{path}: larger than {MAX_ARCHIVE >> 20} MiB: more than a recipe needs.")
    return content


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


def _unzipped(packed: bytes, name: str) -> bytes:
    """The tar file inside; unpacking stops at the bound, whatever the archive would become."""
    unzip = zlib.decompressobj(wbits=31)
    try:
        content = unzip.decompress(packed, MAX_TOTAL + 1)
    except zlib.error as error:
        raise DataError(f"{name}: no archive of o1kit (gzip: {error}). Make one with o1kit recipe pack.") from None
    if len(content) > MAX_TOTAL:
        raise DataError(f"{name}: unpacks to more than {MAX_TOTAL >> 20} MiB: more than a recipe needs.")
    if not unzip.eof or unzip.unused_data:
        fault = "goes on after its end" if unzip.eof else "ends in the middle"
        raise DataError(f"{name}: this archive {fault}: it is damaged. Ask for it again.")
    return content


def _members(content: bytes, name: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    position = 0
    while position < len(content):
        block = content[position : position + BLOCK]
        if not any(block):
            if any(content[position:]):
                raise DataError(f"{name}: something follows the end of the list of files: it is damaged or a trick.")
            return found
        member = _header(block, name)
        position += BLOCK
        if member.name in found:
            raise DataError(f"{name}: holds {member.name!r} twice. Ask for it again.")
        if len(found) == MAX_MEMBERS:
            raise DataError(f"{name}: holds more than {MAX_MEMBERS} files: more than a recipe needs.")
        found[member.name] = content[position : position + member.size]
        if len(found[member.name]) != member.size:
            break
        position += -(-member.size // BLOCK) * BLOCK
    raise DataError(f"{name}: this archive ends in the middle: it is damaged. Ask for it again.")


def _header(block: bytes, name: str) -> tarfile.TarInfo:
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise DataError(f"{name}: damaged or no tar file: {error}. Ask for it again.") from None
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        what = KINDS.get(member.type, "of an unknown or extended type")
        raise DataError(f"{name}: {member.name!r} is {what}. An archive of o1kit holds plain files only.")
    if not 0 <= member.size <= MAX_MEMBER:
        raise DataError(f"{name}: {member.name!r} is larger than {MAX_MEMBER >> 20} MiB: more than a recipe needs.")
    safe_name(member.name)
    return member


def _check(manifest: Manifest, members: Mapping[str, bytes], name: str) -> None:
    """Every member is what the manifest says, and none is left out on either side."""
    unequal = sorted({*manifest.files} ^ {*members})
    if unequal:
        where = "in the manifest only" if unequal[0] in manifest.files else "not in the manifest"
        raise DataError(f"{name}: {unequal[0]!r} is {where}. Ask for the archive again.")
    for member, content in members.items():
        expected = manifest.files[member]
        if expected.size != len(content) or expected.sha256 != sha256(content):
            raise DataError(f"{name}: {member!r} is not what the manifest says. Ask for the archive again.")
    for wanted in filter(None, (manifest.recipe, manifest.lock)):
        if wanted not in members:
            raise DataError(f"{name}: the manifest names {wanted!r}, which is not there. Ask for the archive again.")
