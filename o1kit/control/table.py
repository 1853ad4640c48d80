"""The states of runs as aligned lines."""

from __future__ import annotations

import time
from collections.abc import Sequence

from o1kit.control.state import RunState
from o1kit.functional.printable import printable
from o1kit.tracking.progress import duration, format_value

FOLLOW_S = 2.0
"""Seconds between two looks."""
TITLES = ("run", "state", "stage", "progress", "rate", "left", "sign of life", "disk")
MAX_METRICS = 8


def lines(states: Sequence[RunState]) -> list[str]:
    """A table, and below each run what it measured last."""
    rows = [_row(state) for state in states]
    widths = [max(len(row[i]) for row in [TITLES, *rows]) for i in range(len(TITLES))]
    found = [_aligned(TITLES, widths)]
    for state, row in zip(states, rows, strict=True):
        found.append(_aligned(row, widths))
        found += [f"  {text}" for text in _notes(state)]
    return found


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(state: RunState) -> tuple[str, ...]:
    stage = f"{state.stage} ({min(len(state.finished) + 1, len(state.stages))} of {len(state.stages)})"
    count = f"{len(state.finished)} of {len(state.stages)} stages"
    progress = f"{state.unit} {state.done:g}" if state.done is not None and state.unit else ""
    progress += f"/{state.total:g}" if progress and state.total is not None else ""
    running = state.state == "running"
    cells = (
        state.name,
        state.state,
        stage if state.stage else (count if state.stages else "-"),
        progress or "-",
        f"{state.rate:.3g}/s" if running and state.rate else "-",
        duration(state.eta_s) if running and state.eta_s is not None else "-",
        f"{duration(max(time.time() - state.heartbeat, 0))} ago" if state.heartbeat is not None else "-",
        size(state.disk_bytes),
    )
    return tuple(printable(cell) for cell in cells)


def _notes(state: RunState) -> list[str]:
    found = [printable(state.detail)] if state.detail else []
    shown = list(state.metrics.items())[:MAX_METRICS] if state.stage else []
    texts = [f"{name} {format_value(value)}" for name, value in shown if value is not None]
    return [*found, printable("  ".join(texts))] if texts else found


def size(count: float) -> str:
    """Bytes for people: `512 B`, `3.4 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
