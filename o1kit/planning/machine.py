"""`Machine`: what there is to compute with, without asking torch."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

MIB = 2**20
CGROUP = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
NONE = 1 << 60
"""More than this is how the first version of control groups writes that there is no limit."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Cores and memory of one machine, and free disk where runs are written; 0 is not known."""

    cores: int
    threads: int
    """Threads that torch will use."""
    cpu: str
    memory: int
    """Bytes that a process may use."""
    disk: int
    """Free bytes."""
    gpu: str = ""
    gpu_memory: int = 0

    @property
    def fingerprint(self) -> str:
        """A short name of what decides how fast it is."""
        text = f"{self.cores}/{self.threads}/{self.cpu}/{self.gpu}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def title(self) -> str:
        """For example `2 cores, 23.5 GiB, 40.1 GiB free on disk`."""
        gib = 2**30
        parts = [f"{self.cores} core{'s' * (self.cores != 1)}", f"{self.memory / gib:.1f} GiB memory"]
        parts += [f"{self.gpu or 'GPU'} with {self.gpu_memory / gib:.0f} GiB"] if self.gpu_memory else []
        return ", ".join([*parts, f"{self.disk / gib:.1f} GiB free on disk"])


def this_machine(folder: Path) -> Machine:
    """The machine this runs on; `folder` is where runs are written, or would be."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    threads = min(cores, int(asked)) if asked.isdigit() and int(asked) > 0 else cores
    return Machine(cores, threads, _cpu(), _memory(), _disk(folder))


def other_machine(machine: Machine, memory_gb: float | None, disk_gb: float | None, gpu_gb: float | None) -> Machine:
    """The machine with what is given in its place; a gigabyte is 2**30 bytes."""
    changes = {"memory": memory_gb, "disk": disk_gb, "gpu_memory": gpu_gb}
    found = {name: int(value * 2**30) for name, value in changes.items() if value is not None}
    return replace(machine, **found)  # type: ignore[arg-type]


def _cpu() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()[:80]
    return ""


def _memory() -> int:
    """The machine's memory, or less where a control group says so."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in os.sysconf_names else 0]
    for path in CGROUP:
        with suppress(OSError, ValueError):
            limit = int(Path(path).read_text())
            if 0 < limit < NONE:
                found.append(limit)
    return min((f for f in found if f > 0), default=0)


def _disk(folder: Path) -> int:
    place = folder.resolve()
    while not place.exists() and place != place.parent:
        place = place.parent
    with suppress(OSError):
        return shutil.disk_usage(place).free
    return 0
