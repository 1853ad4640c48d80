"""One thread a process: tests run side by side, and the models are too small for more threads to help."""

import os
import sys
import tempfile
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
# What runs and plans measure is kept there: tests neither leave any of it behind nor depend on what there is.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="o1kit-tests-cache-")


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """A run drops denormal numbers for the rest of its process; the tests after it have theirs back."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
