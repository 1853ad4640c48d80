"""Drawings whose files are the same for the same figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def figure(width: float, height: float) -> Any:
    """A matplotlib figure, in inches.

    Raises:
        SystemExit: matplotlib is not installed.
    """
    try:
        from matplotlib import rcParams
        from matplotlib.figure import Figure
    except ImportError:
        raise SystemExit("the plot needs matplotlib: pip install 'o1kit[bench]'") from None
    rcParams["svg.fonttype"], rcParams["svg.hashsalt"] = "none", "o1kit"  # text stays text, and ids stay the same
    return Figure(figsize=(width, height), layout="constrained")


def save(drawn: Any, path: Path) -> None:
    """Writes a figure, without the date."""
    drawn.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
