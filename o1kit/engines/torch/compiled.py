"""The shared library of kernels.c: compiled once for this machine by its own C compiler, and kept.

`CC` names another compiler than `cc`. Where there is none, or it fails, engines do without.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from o1kit.cache import cache_folder

log = logging.getLogger(__name__)
SOURCE, HEADER = (Path(__file__).with_name(name) for name in ("kernels.c", "vectors.h"))
FLAGS = ("-O3", "-std=gnu11", "-shared", "-fPIC")
VARIANTS = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native", "-fopenmp"), ("-fopenmp",), ())
"""Tried in this order: some compilers know no OpenMP, some another name for the machine at hand."""
TIMEOUT_S = 120


@functools.cache
def library() -> ctypes.CDLL | None:
    """The library, or None where it cannot be had; the log says why."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        log.info("no C compiler: small models are run by torch, which takes two to three times as long")
        return None
    try:
        return _declared(_loaded(compiler))
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        log.info("kernels.c was not compiled: %s", error)
        return None


def _loaded(compiler: Sequence[str]) -> ctypes.CDLL:
    """The file of an earlier process, or if that is damaged a new one."""
    target = _folder() / f"kernels-{_fingerprint(compiler)}.so"
    if target.exists():
        try:
            return ctypes.CDLL(str(target))
        except OSError:
            target.unlink()
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / target.name
        _compile(compiler, made)
        made.replace(target)  # one that another process is writing is never seen half done
    return ctypes.CDLL(str(target))


def _compile(compiler: Sequence[str], target: Path) -> None:
    for variant in VARIANTS:
        command = [*compiler, *FLAGS, *variant, str(SOURCE), "-o", str(target), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)
        if done.returncode == 0:
            return
    raise OSError(f"{compiler[0]}: {done.stderr.strip()[-500:]}")


def _folder() -> Path:
    """Where compiled files are kept: a folder that nobody else can put files into, since they are run."""
    folder = cache_folder() / "kernels"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise OSError(f"others can write to {folder}")
    return folder


def _fingerprint(compiler: Sequence[str]) -> str:
    """Of all that the machine code depends on: a home folder may be shared by unlike machines."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    features = [line for line in lines if line.startswith(("flags", "Features"))][:1]
    parts = [SOURCE.read_text(), HEADER.read_text(), repr((*compiler, FLAGS, VARIANTS)), platform.platform(), *features]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    found.o1kit_panel.restype = found.o1kit_scratch.restype = found.o1kit_append.restype = number
    found.o1kit_scratch.argtypes = [pointer, number]
    found.o1kit_forward.argtypes = [pointer, pointer, pointer, pointer, number, number]
    found.o1kit_append.argtypes = [number, number, *[pointer] * 6, number, pointer, pointer, number]
    found.o1kit_forward.restype = None
    return found
