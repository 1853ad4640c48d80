"""`o1kit doctor`: is this machine, or this run, in order?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from o1kit.cli.completing import run_names
from o1kit.cli.options import RUNS, Json, RunsDir

if TYPE_CHECKING:
    from o1kit.doctor.check import Check

BAD_MACHINE = 3
"""Exit code when something that is needed does not work."""
COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Examine this run instead: name or folder.", autocompletion=run_names),
    ] = None,
    runs_dir: RunsDir = RUNS,
    json: Json = False,
) -> None:
    """Examine this machine and installation, or a run."""
    from dataclasses import asdict
    from json import dumps

    checks: list[Check] = []
    for check in _checks(run, runs_dir):
        checks.append(check)
        if not json:
            _show(check)
    failed = sum(check.level == "fail" for check in checks)
    if json:
        print(dumps([asdict(check) for check in checks], indent=2))
    else:
        warned = sum(check.level == "warn" for check in checks)
        print(f"{len(checks)} checks, {warned} warnings, {failed} failed")
    if failed:
        raise typer.Exit(BAD_MACHINE)


def _checks(run: str | None, runs_dir: Path) -> Iterator[Check]:
    if run is not None:
        from o1kit.control.find import find_run
        from o1kit.doctor.run import run_checks

        yield from run_checks(find_run(run, runs_dir))
        return
    from o1kit.doctor.machine import machine_checks
    from o1kit.doctor.packages import package_checks
    from o1kit.doctor.services import service_checks
    from o1kit.doctor.smoke import smoke_checks

    yield from package_checks()
    yield from machine_checks(runs_dir)
    yield from service_checks()
    yield from smoke_checks()


def _show(check: Check) -> None:
    from rich.console import Console

    from o1kit.functional.printable import printable

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{check.level:<4}", style=COLORS[check.level], end="  ")
    console.print(printable(f"{check.name}: {check.text}"), markup=False)
    if check.remedy:
        console.print(printable(f"      {check.remedy}"), markup=False)
