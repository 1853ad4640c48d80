"""What a run's numbers depend on besides its recipe and data: versions of everything, and the type of machine."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

import o1kit

PACKAGES = (
    "bitsandbytes",
    "datasets",
    "lightning",
    "math-verify",
    "numpy",
    "peft",
    "pydantic",
    "reasoning-gym",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
)
"""Packages whose version can change a number."""


def package_versions() -> dict[str, str]:
    """Versions of the installed packages that numbers depend on; none is imported."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@cache
def environment_hash() -> str:
    """One hash over the names and versions of all installed packages."""
    lines = {f"{str(d.metadata['Name']).lower().replace('_', '-')}=={d.version}" for d in distributions()}
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


@cache
def code_hash() -> str:
    """One hash over o1kit's own modules: a checkout has one version for many states."""
    root = _package()
    found = hashlib.sha256()
    for file in sorted(root.rglob("*.py"), key=lambda f: f.relative_to(root).as_posix()):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        found.update(f"{file.relative_to(root).as_posix()}:{content}\n".encode())
    return found.hexdigest()


@cache
def commit() -> str | None:
    """The commit o1kit is checked out at, or None where it is installed otherwise."""
    root = _package().parent
    if not (root / ".git").exists():
        return None
    with suppress(OSError, subprocess.SubprocessError):
        asked = ["git", "-C", str(root), "rev-parse", "HEAD"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()
    return None


def system() -> str:
    """System and processor type."""
    return f"{platform.system()}-{platform.machine()}"


def _package() -> Path:
    return Path(o1kit.__file__).parent
