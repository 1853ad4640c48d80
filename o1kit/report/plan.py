"""What `o1kit plan` prints: the stages, what each is built from, and what a run folder already holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from o1kit.plan import Plan


def rows(plan: Plan, directory: Path) -> list[dict[str, Any]]:
    """One row a stage: name, kind, inputs, fingerprint, and its state in the run's folder."""
    found: list[dict[str, Any]] = []
    pending: set[str] = set()
    for stage in plan.stages:
        state = _state(directory / stage.name, stage.fingerprint, bool(pending & set(stage.inputs)))
        if state != "done":
            pending.add(stage.name)
        found.append(
            {
                "stage": stage.name,
                "kind": stage.kind,
                "inputs": list(stage.inputs),
                "fingerprint": stage.fingerprint[:12],
                "state": state,
            }
        )
    return found


def _state(directory: Path, fingerprint: str, inputs_pending: bool) -> str:
    """`done`, `to continue` after a checkpoint, `changed` since it was done, or `to do`."""
    done = _read(directory / "done.json")
    if done is not None:
        return "done" if done.get("fingerprint") == fingerprint and not inputs_pending else "changed"
    started = _read(directory / "stage.json")
    if started is not None and started.get("fingerprint") == fingerprint and not inputs_pending:
        return "to continue"
    return "to do"


def _read(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        value = json.loads(path.read_text(encoding="utf-8"))
        return value if isinstance(value, dict) else None
    return None


def print_plan(name: str, found: Sequence[dict[str, Any]]) -> None:
    """The rows as aligned columns."""
    titles = ["stage", "kind", "inputs", "fingerprint", "state"]
    lines = [
        [*(str(row[t]) for t in titles[:2]), ", ".join(row["inputs"]) or "-", *(row[t] for t in titles[3:])]
        for row in found
    ]
    widths = [max(len(line[i]) for line in [titles, *lines]) for i in range(len(titles))]
    print(f"{name}: {len(found)} stages")
    for line in [titles, *lines]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
