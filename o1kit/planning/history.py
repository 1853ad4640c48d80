"""What stages took that ran before on this machine: a line each in `$XDG_CACHE_HOME/o1kit/history.jsonl`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from o1kit.cache import cache_folder

FILE = "history.jsonl"
READ = 1 << 20
"""Bytes of the file's end that are read."""
LAST = 5
"""Runs of a stage of one kind that its correction is the median of."""
SHORTEST = 5.0
"""A stage of fewer seconds says nothing of speed."""
BOUNDS = (0.2, 5.0)
"""A correction is not larger than this: more would be another machine, or a mistake."""


class Entry(NamedTuple):
    """One finished stage: what was planned before any correction, and what was measured."""

    machine: str
    model: str
    kind: str
    basis: str
    fingerprint: str
    planned_s: float
    seconds: float
    planned_mb: float
    peak_mb: float


class Correction(NamedTuple):
    """Measured over planned."""

    seconds: float = 1.0
    memory: float = 1.0
    runs: int = 0


def append(entries: Sequence[Entry]) -> None:
    """Adds finished stages; a folder that cannot be written to is passed over."""
    path = cache_folder() / FILE
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(entry._asdict()) + "\n" for entry in entries)


def read() -> list[Entry]:
    """The latest entries, oldest first; lines that make no sense are passed over."""
    path = cache_folder() / FILE
    found: list[Entry] = []
    with suppress(OSError), path.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - READ))
        for line in stream.read().decode(errors="replace").splitlines():
            with suppress(ValueError, TypeError, KeyError):
                found.append(_entry(json.loads(line)))
    return found


def correction(entries: Sequence[Entry], machine: str, model: str, kind: str, basis: str) -> Correction:
    """How wrong the same kind of plan was of late for the same kind of stage of the same model on this machine."""
    like = [e for e in entries if (e.machine, e.model, e.kind, e.basis) == (machine, model, kind, basis)][-LAST:]
    timed = [e.seconds / e.planned_s for e in like if e.planned_s > 0 and e.seconds >= SHORTEST]
    sized = [e.peak_mb / e.planned_mb for e in like if e.planned_mb > 0 and e.peak_mb > 0]
    if not like:
        return Correction()
    seconds, memory = (_bounded(statistics.median(x)) if x else 1.0 for x in (timed, sized))
    return Correction(seconds, memory, len(like))


def _bounded(ratio: float) -> float:
    return min(max(ratio, BOUNDS[0]), BOUNDS[1])


def _entry(data: Any) -> Entry:
    texts = {name: str(data[name]) for name in Entry._fields[:5]}
    numbers = {name: float(data[name]) for name in Entry._fields[5:]}
    if not all(0 <= number < 1e12 for number in numbers.values()):
        raise ValueError("no such number")
    return Entry(**texts, **numbers)  # type: ignore[arg-type]
