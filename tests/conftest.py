"""One thread a process: tests run side by side, and the models are too small for more threads to help."""

import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """A run drops denormal numbers for the rest of its process; the tests after it have theirs back."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
