"""An estimate as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from o1kit.planning.estimate import Estimate, StageEstimate
from o1kit.planning.levers import Remedy, Together
from o1kit.planning.memory import Memory

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def estimate_lines(found: Estimate) -> list[str]:
    """What each stage takes, where its memory goes, and the totals."""
    if found.missing:
        said = f"{found.missing}. Parameters, memory and time are not known."
        return [said]
    titles = ["stage", "parameters", "trained", "tokens trained", "drawn", "read", "memory", "disk", "time"]
    titles += ["cost"] if found.an_hour is not None else []
    lines = table([titles, *(_row(stage, found) for stage in found.stages)])
    lines += ["", "peak memory, MiB"]
    parts = [field.name for field in fields(Memory)]
    shown = [[p.replace("_", " ") for p in parts]]
    rows = [
        [stage.stage, *(f"{getattr(stage.memory, part) / 2**20:,.0f}" for part in parts)]
        for stage in found.stages
        if stage.memory is not None
    ]
    lines += table([["stage", *shown[0]], *rows])
    return [*lines, "", *_totals(found)]


def _row(stage: StageEstimate, found: Estimate) -> list[str]:
    if stage.work is None or stage.memory is None or not stage.parameters:
        return [stage.stage, *["?"] * (8 + (found.an_hour is not None))]
    share, work = (stage.trainable or 0) / stage.parameters, stage.work
    tokens = (work.trained, work.generated, work.read + work.scored)
    row = [
        stage.stage,
        short(stage.parameters),
        f"{100 * share:.3g} %" if stage.trainable else "-",
        *(short(x) if x else "-" for x in tokens),
        size(stage.peak or 0.0),
        size(stage.disk or 0.0),
        time_text(stage.seconds),
    ]
    return [*row, f"{stage.cost:.2g}"] if stage.cost is not None else row


def _totals(found: Estimate) -> list[str]:
    basis = ", ".join(dict.fromkeys(stage.basis for stage in found.stages if stage.basis))
    parts = [f"peak memory {size(found.peak)}", f"disk {size(found.disk)}", f"time {time_text(found.seconds)}"]
    parts += [f"cost {found.cost:.2f} {found.currency}"] if found.cost is not None else []
    what = "in all" if len(found.counted) == len(found.stages) else "what is left"
    totals = f"{what}: {', '.join(parts)} (basis: {basis})" if found.counted else "nothing is left to run"
    lines = [totals, f"machine: {found.machine.title}"]
    if found.currency and found.an_hour is None:
        lines.append(f"cost: not known, the file has no price of an hour of {found.machine.gpu or 'cpu'}")
    lines += [f"cost: {note}" for note in found.notes]
    if found.machine.gpu_memory:
        lines.append(f"of the memory on the GPU: {size(found.device_peak)}")
    if any("probe" not in stage.basis for stage in found.stages if stage.basis):
        lines.append("lengths and speeds are guessed on the safe side; `o1kit plan --probe` measures them here")
    return lines


def remedy_lines(found: Estimate, remedy: Remedy) -> list[str]:
    """That it does not fit, and what would help: single changes; several, where no single one is enough."""
    if not found.short:
        return []
    levers = remedy.levers
    lines = ["", f"does not fit: {'; '.join(found.short)}"]
    several = [] if any(lever.fits for lever in levers) else _together(remedy.together)
    if not levers:
        return [*lines, "no single change helps much", *several]
    rows = [
        [
            _option(lever.change),
            size(lever.peak),
            f"disk {size(lever.disk)}",
            time_text(lever.seconds),
            "fits" if lever.fits else "helps",
            lever.price,
        ]
        for lever in levers
    ]
    return [*lines, "what would help:", *table(rows), *several]


def _together(found: Together | None) -> list[str]:
    if found is None:
        return ["nothing that can be changed makes it fit: take a smaller model, or another machine"]
    takes = f"{size(found.peak)}, disk {size(found.disk)}, {time_text(found.seconds)}"
    if not found.fits:
        text = "nothing makes it fit: with all changes that could help, at once, it still takes"
        return [f"{text} {takes}. Take a smaller model, or another machine"]
    return [f"no single change is enough; together these are ({takes}):", "  " + " ".join(map(_option, found.changes))]


def _option(change: str) -> str:
    return f"--set '{change}'"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]


def short(number: float) -> str:
    """`661k`, `134.5M`."""
    for unit, letter in UNITS:
        if number >= unit:
            return f"{number / unit:.4g}{letter}"
    return f"{number:.0f}"


def size(bytes_: float) -> str:
    """`37 MiB`, `1.4 GiB`."""
    return f"{bytes_ / 2**30:.1f} GiB" if bytes_ >= 2**30 else f"{bytes_ / 2**20:.0f} MiB"


def time_text(seconds: float | None) -> str:
    """`45 s`, `7 min`, `3.2 h`."""
    if seconds is None:
        return "?"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
