"""Recipe section that `o1kit recipe lock` writes: what a run is to be repeated with."""

from typing import Annotated

from pydantic import Field

from o1kit.config import Config, FirstVersion, Unit

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A hash, in hexadecimal."""


class FileHash(Config):
    """What a file held."""

    sha256: Sha256
    """SHA-256 of its content."""
    size: Annotated[int, Field(ge=0), Unit("bytes")]
    """Its length in bytes."""


class LockConfig(Config):
    """What a run is to be repeated with; written by `o1kit recipe lock`, compared before the run starts."""

    format: FirstVersion = 1
    """Version of this section."""
    o1kit: str
    """Version of o1kit."""
    code: Sha256
    """Hash over o1kit's own modules."""
    commit: str | None = None
    """Commit that o1kit was checked out at, where it was; not compared, since `code` is."""
    python: str
    """Version of Python."""
    platform: str
    """System and processor type."""
    packages: dict[str, str] = {}
    """Versions of the packages that numbers depend on."""
    environment: Sha256
    """Hash over names and versions of all installed packages; not compared, since most of them do not matter."""
    plugins: dict[str, str] = {}
    """Versions of the installed packages whose kinds the recipe names."""
    files: dict[str, FileHash] = {}
    """Files that the recipe reads: problems, labels, and local folders of models; relative to the lock."""
    models: dict[str, str | None] = {}
    """Hub ids, each with the commit that was in the local cache; null: it was not there."""
    fingerprints: dict[str, Sha256] = {}
    """What each stage computes (see `o1kit plan`)."""
