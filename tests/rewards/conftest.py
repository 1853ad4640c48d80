"""Makes `planted_scorers` importable by name, here and (through sys.path) in the pool's workers."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from o1kit.rewards.pool import ScoringPool


@pytest.fixture(scope="module")
def pool() -> Iterator[ScoringPool]:
    with ScoringPool(num_workers=2, timeout_s=0.5, memory_mb=1024) as pool:
        yield pool
