"""The process on a CPU: settings that make training faster, and how much memory it took."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from contextlib import suppress

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's `mallopt`."""


def tune_process() -> None:
    """Keeps freed memory for the next tensor (glibc gives it back to the system each time), and drops denormals.

    Measured on two cores with the quickstart's model: 15 to 20 % more training steps a second.
    """
    import torch

    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(MMAP_THRESHOLD, 1 << 30)
            libc.mallopt(TRIM_THRESHOLD, (1 << 31) - 1)
            libc.mallopt(TOP_PAD, 64 << 20)


def release_memory() -> None:
    """Gives what a finished stage no longer needs back to the system: with `tune_process` it would stay with us."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
