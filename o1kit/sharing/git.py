"""Files of one commit of a git repository: fetched into an empty one, read as objects, never checked out."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from o1kit.errors import DataError, EnvironmentFailure
from o1kit.functional.printable import printable
from o1kit.sharing.archive import MAX_MEMBER

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
MAX_FILE = 256 * 2**20
"""Most bytes of one file that git may write, such as a pack of objects."""
TIMEOUT_S = 300
PLAIN = ("100644", "100755")
"""Modes of plain files: no links, no submodules."""
# Nothing of the user's or the repository's settings counts: no hooks, filters, LFS, helpers, or other protocols.
SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.sshCommand=false",
    "credential.helper=",
    "filter.lfs.smudge=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.fsckObjects=true",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "protocol.ext.allow=never",
)


@dataclass(frozen=True)
class Commit:
    """The files of one commit."""

    repository: Path
    commit: str
    sizes: dict[str, int] = field(default_factory=dict)
    linked: frozenset[str] = frozenset()
    """Names of links, and of other repositories that are linked."""

    def names(self) -> list[str]:
        """Names of all plain files."""
        return sorted(self.sizes)

    def read(self, name: str) -> bytes | None:
        """A file's content, or None where there is no plain file of that name."""
        if name not in self.sizes:
            return None
        if self.sizes[name] > MAX_MEMBER:
            raise DataError(f"{name!r}: larger than {MAX_MEMBER >> 20} MiB: more than a recipe needs.")
        return _git(self.repository, "cat-file", "blob", f"{self.commit}:{name}")

    def links(self, names: Iterable[str] = ()) -> list[str]:
        """All links, and those of the names that lie behind one."""
        return sorted(self.linked | {n for n in names if any(n.startswith(f"{link}/") for link in self.linked)})


@contextmanager
def fetched(url: str, commit: str) -> Iterator[Commit]:
    """The files of one commit, in a repository of its own that goes away.

    Args:
        url: `https://...`, `http://127.0.0.1...` or `file:///...`.
        commit: all hexadecimal digits of its name.

    Raises:
        DataError: there is no such commit.
        EnvironmentFailure: git is missing, or the repository cannot be reached.
    """
    scheme = url.partition(":")[0]
    with tempfile.TemporaryDirectory(prefix="o1kit-") as name:
        repository = Path(name)
        kind = ["--object-format=sha256"] if len(commit) == 64 else []
        _git(repository, "init", "--quiet", "--bare", "--template=", *kind, ".")
        allowed = ["-c", f"protocol.{scheme}.allow=always"]
        if scheme == "http":  # it could lead from this machine to any other
            allowed += ["-c", "http.followRedirects=false"]
        _git(repository, *allowed, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", url, commit)
        listing = _git(repository, "ls-tree", "-r", "-z", "--long", "--full-tree", commit)
        sizes = dict(_listed(listing))
        plain = {name: size for name, size in sizes.items() if size is not None}
        yield Commit(repository, commit, plain, frozenset(sizes.keys() - plain.keys()))


def _listed(listing: bytes) -> Iterator[tuple[str, int | None]]:
    """Names with the sizes of plain files, and None for what is none."""
    for line in filter(None, listing.split(b"\0")):
        facts, _, name = line.partition(b"\t")
        mode, kind, _, size = facts.decode("ascii").split()
        yield name.decode("utf-8", "backslashreplace"), int(size) if mode in PLAIN and kind == "blob" else None


def _git(repository: Path, *words: str) -> bytes:
    settings = [word for setting in SETTINGS for word in ("-c", setting)]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "LC_ALL": "C",
    }
    try:
        done = subprocess.run(
            ["git", *settings, *words],
            cwd=repository,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            preexec_fn=_bounded,
        )
    except FileNotFoundError:
        raise EnvironmentFailure("git is not installed. Install it, or pull an archive (.o1r).") from None
    except subprocess.TimeoutExpired:
        raise EnvironmentFailure(f"git took longer than {TIMEOUT_S} s. Try again, or pull an archive (.o1r).") from None
    if done.returncode:
        all_said = printable(done.stderr.decode("utf-8", "replace"))
        said = _reason(all_said)
        if any(known in all_said for known in ("not our ref", "bad object", "not a tree object")):
            raise DataError(f"the repository has no such commit: {said}. Give the whole name of a commit it offers.")
        command = next(word for word in words if not word.startswith("-") and "=" not in word)
        raise EnvironmentFailure(f"git {command} failed: {said or done.returncode}. Check the address.")
    return done.stdout


def _reason(said: str) -> str:
    """What went wrong, of all that git says: what it calls fatal, else all of it, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
    return "; ".join(fatal[:1] or lines).rstrip(".")


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE, MAX_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
