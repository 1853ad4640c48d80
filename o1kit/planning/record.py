"""Predicted against measured: `plan.json` of a run's folder, and the history that corrects the next plans."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from o1kit.artifacts import read_done, write_json
from o1kit.errors import O1kitError
from o1kit.plan import Plan
from o1kit.planning.estimate import Estimate, as_data, estimate, ground
from o1kit.planning.history import Entry, append
from o1kit.planning.machine import this_machine
from o1kit.planning.show import size, time_text
from o1kit.report.plan import rows

FILE = "plan.json"
MIB = 2**20


class Record:
    """What was planned for a run; `finish` adds what it took.

    A plan is advice: whatever goes wrong with it, the run goes on.
    """

    def __init__(self, plan: Plan, recipe_directory: Path, directory: Path, running: Sequence[str]) -> None:
        self.plan, self.directory = plan, directory
        self.running = [r["stage"] for r in rows(plan, directory) if r["state"] != "done" and r["stage"] in running]
        self.started = time.time()
        self.found: Estimate | None = None
        with suppress(O1kitError, OSError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError):
            self.found = estimate(plan, recipe_directory, ground(plan, this_machine(directory)), self.running)
            write_json(directory / FILE, as_data(self.found))

    def finish(self) -> list[str]:
        """Writes down what the stages that ran now took, and returns a line for each."""
        lines: list[str] = []
        with suppress(O1kitError, OSError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError):
            if self.found is not None:
                measured = self._measured()
                data = as_data(self.found) | {"measured": measured}
                write_json(self.directory / FILE, data)
                append(self._entries(measured))
                lines = [line for line in (self._line(name, measured) for name in measured) if line]
        return lines

    def _measured(self) -> dict[str, dict[str, float]]:
        """Seconds and peak memory of each stage that ended since the start."""
        found = {}
        for stage in self.plan.stages:
            path = self.directory / stage.name
            done = read_done(path)
            with suppress(OSError):
                if done is not None and (path / "done.json").stat().st_mtime >= self.started - 1:
                    found[stage.name] = {"seconds": float(done["seconds"]), "peak_mb": float(done["peak_memory_mb"])}
        return found

    def _entries(self, measured: Mapping[str, Mapping[str, float]]) -> list[Entry]:
        assert self.found is not None
        fingerprints = {stage.name: stage.fingerprint for stage in self.plan.stages}
        highest, found = 0.0, []
        for s in self.found.stages:
            took = measured.get(s.stage)
            if took is None or s.raw_seconds is None or s.raw_peak is None:
                continue
            # Memory is that of the process so far: only a stage that has raised it says something of itself.
            raised, highest = took["peak_mb"] > highest, max(highest, took["peak_mb"])
            basis, machine = s.basis.partition(",")[0], self.found.machine.fingerprint
            peak = took["peak_mb"] if raised else 0.0
            numbers = (s.raw_seconds, took["seconds"], s.raw_peak / MIB, peak)
            found.append(Entry(machine, self.found.model, s.kind, basis, fingerprints[s.stage], *numbers))
        return found

    def _line(self, name: str, measured: Mapping[str, Mapping[str, float]]) -> str:
        """`sft: planned 240 s / 1.2 GiB, took 231 s / 1.1 GiB`."""
        assert self.found is not None
        planned = next(s for s in self.found.stages if s.stage == name)
        if planned.seconds is None or planned.peak is None:
            return ""
        took = measured[name]
        return (
            f"{name}: planned {time_text(planned.seconds)} / {size(planned.peak)}, "
            f"took {time_text(took['seconds'])} / {size(took['peak_mb'] * MIB)}"
        )


def read_record(directory: Path) -> dict[str, Any] | None:
    """The content of a run's `plan.json`; None without one that makes sense."""
    with suppress(OSError, ValueError):
        value = json.loads((directory / FILE).read_text(encoding="utf-8"))
        return value if isinstance(value, dict) else None
    return None
