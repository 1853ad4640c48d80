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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first, half of them for each of two workers, which start at the first and at the middle test.

    So no worker is left alone with a long one at the end. Tests of one file stay together: they share fixtures.
    """
    slow: tuple[list[pytest.Item], list[pytest.Item]] = ([], [])
    files = dict.fromkeys(item.path for item in items if item.get_closest_marker("slow"))
    side = {path: i % 2 for i, path in enumerate(files)}
    for item in items:
        if item.get_closest_marker("slow"):
            slow[side[item.path]].append(item)
    rest = [item for item in items if not item.get_closest_marker("slow")]
    half = max(0, min(len(rest), (len(items) + 1) // 2 - len(slow[0])))
    items[:] = [*slow[0], *rest[:half], *slow[1], *rest[half:]]
