"""Which files a confined program may read: the interpreter's and the system's libraries (Landlock, Linux 5.13 on).

Unprivileged like the filter of system calls. Where the kernel lacks it, a program can read what its user can read,
the right answers included if it knows where they lie.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from functools import cache

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_EXECUTE, _READ_FILE, _READ_FOLDER = 1, 4, 8
_ALL = (1 << 13) - 1
"""Every right of the first version: executing, reading, writing, making and removing of all kinds."""
_BENEATH = 1
_VERSION = 1
_FOLDERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo")
_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/urandom", "/dev/zero")
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def hides_files() -> bool:
    """True where the kernel can keep programs from reading files."""
    return _libc is not None and _libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION) > 0


@cache
def libraries(*more: str) -> int | None:
    """Descriptor of the rules, made once a process; None where the kernel has none.

    `more` are further folders and files that may be read.

    Raises:
        OSError: the kernel refuses.
    """
    if _libc is None or not hides_files():
        return None
    handled = struct.pack("=Q", _ALL)
    rules = int(_libc.syscall(_CREATE, handled, ctypes.c_size_t(len(handled)), 0))
    if rules < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset failed")
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    for folder in sorted(prefixes | set(_FOLDERS)):
        _allow(rules, folder, _READ_FILE | _READ_FOLDER | _EXECUTE)
    for path in (*_FILES, *more):
        _allow(rules, path, _READ_FILE | _READ_FOLDER if os.path.isdir(path) else _READ_FILE)
    return rules


def hide_files(rules: int) -> None:
    """Confines this process for good; after `no new privileges`.

    Raises:
        OSError: the kernel refuses.
    """
    assert _libc is not None
    if _libc.syscall(_RESTRICT, rules, 0) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self failed")


def _allow(rules: int, path: str, access: int) -> None:
    """Adds what lies beneath a path; one that does not exist is left out."""
    assert _libc is not None
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = struct.pack("=Qi", access, descriptor)
        if _libc.syscall(_ADD, rules, _BENEATH, rule, 0) != 0:
            raise OSError(ctypes.get_errno(), f"landlock_add_rule failed for {path}")
    finally:
        os.close(descriptor)
