"""The reliability plot of a reward model: what it predicts against what came true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FILE = "reliability.svg"


def draw_reliability(rows: Sequence[Mapping[str, Any]], directory: Path) -> Path | None:
    """Draws the bins of a reliability table as `reliability.svg`; does nothing without bins or without matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:  # the table is in results.json; the plot needs the extra `bench`
        return None
    if not rows:
        return None
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    largest = max(row["size"] for row in rows)
    x, y = [row["predicted"] for row in rows], [row["observed"] for row in rows]
    axes.plot(x, y, color="C0", linewidth=1)
    axes.scatter(x, y, s=[10 + 90 * row["size"] / largest for row in rows], color="C0")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted", ylabel="observed", title="reliability of step scores")
    directory.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": "o1kit"}):  # the same table gives the same file
        figure.savefig(directory / FILE, metadata={"Date": None})
    return directory / FILE
