"""The process on a CPU."""

import subprocess
import sys

import pytest

GROWN = """
from pathlib import Path

import torch

from o1kit.cpu import release_memory, tune_process


def resident():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmRSS")) / 1024


tune_process()
before = resident()
tensors = [torch.ones(1000 * (i % 50 + 1)) for i in range(2000)]
kept = [tensor.clone() for tensor in tensors[::97]]
del tensors
held = resident()
release_memory()
print(held - before, resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_finished_stage_gives_its_memory_back() -> None:
    found = subprocess.run([sys.executable, "-c", GROWN], capture_output=True, text=True, check=True, timeout=120)
    held, left = map(float, found.stdout.split())
    assert held > 150  # MiB: freed, but kept for the next tensor
    assert left < 50
