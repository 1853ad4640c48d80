"""The machine without its accelerators: disk, memory, cores, clock, and whether programs can be confined."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from o1kit.control.table import size
from o1kit.doctor.check import Check
from o1kit.runner import NEEDED_MB

MIB = 2**20
LOW_DISK_MB = 5000
LOW_MEMORY_MB = 2048
SKEW_S = 2.0
CGROUP = Path("/sys/fs/cgroup")


def machine_checks(runs_dir: Path) -> Iterator[Check]:
    """Disk, memory, cores, clock, confinement."""
    place = existing(runs_dir)
    yield from disk_checks("runs folder", place)
    yield from _temporary(place)
    yield _memory()
    yield _cores()
    yield _clock(place)
    yield _confinement()
    yield _compiler()


def existing(folder: Path) -> Path:
    """The folder, or what exists of its path."""
    return next(p for p in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(p))


def disk_checks(name: str, place: Path) -> Iterator[Check]:
    """Writes, syncs, renames and removes a file; looks at what is free."""
    try:
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix=".o1kit-doctor-", dir=place) as folder:
            old, new = Path(folder) / "old", Path(folder) / "new"
            with old.open("wb") as stream:
                stream.write(b"o1kit" * 1000)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(old, new)
            same = new.read_bytes() == b"o1kit" * 1000
        took = 1000 * (time.perf_counter() - begun)
        free = shutil.disk_usage(place).free // MIB
    except OSError as error:
        remedy = "Choose a folder you may write to with --runs-dir, or TMPDIR for temporary files."
        yield Check(name, "fail", f"{place}: cannot be written to: {error.strerror or error}", remedy)
        return
    if not same:
        yield Check(name, "fail", f"{place}: a file read back differs from what was written", "Use another disk.")
        return
    text = f"{place}: writing, syncing and renaming work ({took:.0f} ms), {size(free * MIB)} free"
    if free < NEEDED_MB:
        yield Check(name, "fail", text, f"Free some space: a run needs {NEEDED_MB} MiB to start.")
    elif free < LOW_DISK_MB:
        yield Check(name, "warn", text, "Large models and many checkpoints need more; o1kit plan says how much.")
    else:
        yield Check(name, "ok", text)


def _temporary(runs: Path) -> Iterator[Check]:
    """TMPDIR: of use to libraries only, o1kit writes beside its targets; so being on another disk is fine."""
    try:
        place = Path(tempfile.gettempdir())
        same = "the same disk as" if place.stat().st_dev == runs.stat().st_dev else "another disk than"
    except OSError as error:
        yield Check("TMPDIR", "fail", f"no folder for temporary files: {error.strerror}", "Set TMPDIR to one.")
        return
    for check in disk_checks("TMPDIR", place):
        level = "warn" if check.level == "fail" else check.level
        yield Check(check.name, level, f"{check.text} ({same} the runs folder, which is fine)", check.remedy)


def memory_limit() -> int | None:
    """Bytes that this process's group may use; None without a limit."""
    limits = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            folder = CGROUP / line.rpartition(":")[2].lstrip("/")
            for parent in (folder, *folder.parents):
                if parent != CGROUP and CGROUP not in parent.parents:
                    break
                for name in ("memory.max", "memory/memory.limit_in_bytes"):
                    with suppress(OSError, ValueError):
                        limits.append(int((parent / name).read_text()))
    found = min(limits, default=1 << 62)
    return found if found < 1 << 60 else None


def _memory() -> Check:
    kib: dict[str, int] = {}
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            kib[name] = int(rest.split()[0])
    if "MemAvailable" not in kib:
        return Check("memory", "ok", "not known on this system")
    limit, free, total = memory_limit(), kib["MemAvailable"] * 1024, kib.get("MemTotal", 0) * 1024
    text = f"{size(free)} available of {size(total)}"
    if limit is not None and limit < total:
        text += f", limited to {size(limit)} for this group of processes"
        free = min(free, limit)
    if free < LOW_MEMORY_MB * MIB:
        return Check("memory", "warn", text, "The quickstart needs about 2 GiB. End other programs, raise the limit.")
    return Check("memory", "ok", text)


def _cores() -> Check:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text, quota = f"{usable} of {os.cpu_count()} cores", _quota()
    if quota is not None and quota < usable:
        text += f", limited to the time of {quota:g}"
    threads = os.environ.get("OMP_NUM_THREADS", "")
    text += f", OMP_NUM_THREADS {threads or 'not set'}"
    if threads.isdecimal() and int(threads) > usable:
        return Check("cores", "warn", text, f"More threads than cores are slow: export OMP_NUM_THREADS={usable}")
    if quota is not None and quota < usable and not threads:
        return Check("cores", "warn", text, f"Threads would wait for one another: export OMP_NUM_THREADS={quota:.0f}")
    return Check("cores", "ok", text)


def _quota() -> float | None:
    """Cores' worth of time that the container may use; None without a limit."""
    with suppress(OSError, ValueError):
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return int(quota) / int(period) if quota != "max" else None
    return None


def _clock(place: Path) -> Check:
    """The system's clock against the disk's (a file server has its own), and against files that are installed."""
    with suppress(OSError), tempfile.NamedTemporaryFile(prefix=".o1kit-doctor-", dir=place) as stream:
        stream.write(b"x")
        stream.flush()
        skew = time.time() - os.fstat(stream.fileno()).st_mtime
        if abs(skew) > SKEW_S:
            remedy = "Synchronise the clocks (NTP): times in logs and statuses will not fit."
            return Check("clock", "warn", f"the disk's clock differs by {skew:.1f} s", remedy)
    written = Path(__file__).stat().st_mtime
    if time.time() < written - 60:
        return Check("clock", "warn", "stands before the time at which o1kit was installed", "Set the clock (NTP).")
    return Check("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))


def _confinement() -> Check:
    """Runs a harmless program and one that opens a socket as the grader `python` does."""
    from o1kit.tasks.graders.landlock import hides_files
    from o1kit.tasks.graders.program import Limits, run_program
    from o1kit.tasks.graders.syscalls import missing

    reason, name = missing(), "confinement"
    remedy = "Only the grader `python` needs it; use another grader here."
    if reason is not None:
        return Check(name, "warn", f"programs cannot be confined: {reason}", remedy)
    try:
        limits = Limits(20.0, 512, 10)
        good = run_program("print(6 * 7)", "", limits)
        bad = run_program("import socket\nsocket.socket()\nprint('open')", "", limits)
    except OSError as error:
        return Check(name, "warn", f"programs cannot be confined: {error}", remedy)
    if good.end != "done" or good.output.strip() != b"42":
        return Check(name, "warn", f"a confined program does not work: {good.end} on {sys.platform}", remedy)
    if bad.end != "failed" or b"open" in bad.output:
        return Check(name, "fail", "a confined program could open a socket", remedy)
    files = "files hidden" if hides_files() else "files readable: this kernel has no Landlock"
    return Check(name, "ok", f"programs run without network and processes, {files}")


def _compiler() -> Check:
    """What kernels.c is compiled with, by the first engine that needs it."""
    name = (shlex.split(os.environ.get("CC", "")) or ["cc"])[0]
    found = shutil.which(name)
    if found is None:
        remedy = "Install one (gcc or clang), or set CC to its path, if small models on CPU should sample faster."
        return Check("C compiler", "warn", f"{name!r} is not here: torch alone runs small models", remedy)
    return Check("C compiler", "ok", f"{found}, for the kernels that run small models on CPU")
