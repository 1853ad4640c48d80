"""`o1kit status | stop | resume | fork`: runs that were started before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from o1kit.cli.completing import run_names, stage_names
from o1kit.cli.options import (
    RUNS,
    AllowDrift,
    Detach,
    DryJson,
    DryRun,
    Json,
    Overlays,
    Plain,
    RunsDir,
    Sets,
    Stages,
    dry_json,
    faults_as_json,
    print_json,
)

Run = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Name of a run under --runs-dir, or its folder.", autocompletion=run_names),
]


def status(
    run: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN]...",
            help="Names or folders (default: all).",
            default_factory=list,
            show_default=False,
            autocompletion=run_names,
        ),
    ],
    runs_dir: RunsDir = RUNS,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until no run is running any more.")] = False,
    json: Json = False,
) -> None:
    """Show how far runs are."""
    import time
    from json import dumps

    from o1kit.control.find import all_runs, find_run
    from o1kit.control.state import look
    from o1kit.control.table import FOLLOW_S, lines

    while True:
        with faults_as_json(json):
            folders = [find_run(name, runs_dir) for name in run] or all_runs(runs_dir)
        found = [look(folder) for folder in folders]
        if json:
            print(dumps([state.as_json() for state in found], indent=None if follow else 2), flush=True)
        elif found:
            print("\n".join(lines(found)), flush=True)
        else:
            print(f"no runs in {runs_dir}; start one: o1kit run RECIPE")
        if not follow or not any(state.state == "running" for state in found):
            return
        time.sleep(FOLLOW_S)
        print(end="" if json else "\n")


def stop(
    run: Run,
    runs_dir: RunsDir = RUNS,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for a checkpoint.")] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for the end.", min=0)] = 600.0,
) -> None:
    """Stop a run at its next step, with a checkpoint to go on from."""
    from o1kit.control.find import find_run
    from o1kit.control.stopping import stop as stop_run

    stop_run(find_run(run, runs_dir), now=now, timeout_s=timeout, say=lambda text: print(text, flush=True))


def resume(
    run: Run,
    sets: Sets,
    overlays: Overlays,
    stage: Stages,
    changed: Annotated[bool, typer.Option("--changed", help="Take the recipe file although it has changed.")] = False,
    runs_dir: RunsDir = RUNS,
    dry_run: DryRun = False,
    detach: Detach = False,
    plain: Plain = False,
    allow_drift: AllowDrift = False,
    json: DryJson = False,
) -> None:
    """Go on with a run, from its folder alone."""
    from os import chdir

    from o1kit.cli.starting import Start, given, words
    from o1kit.control.find import find_run
    from o1kit.resuming import resumed, started_in

    with dry_json(dry_run, json):
        directory, overlays = find_run(run, runs_dir).resolve(), [path.resolve() for path in overlays]
        chdir(started_in(directory) or ".")
        found = resumed(directory, sets, stage, overlays, changed=changed)
        source = found.launch.recipe if found.from_file else directory / "recipe.json"
        print(end="" if json else f"{directory.name}: recipe {source}\n", flush=True)
        start = Start(found.plan, found.launch, directory.parent, plain, resume=True)
        if found.plan.recipe.lock is not None and not allow_drift:
            from o1kit.sharing.lock import require

            require(found.plan.recipe, start.recipe_directory)
        if dry_run:
            start.rehearsed(json)
            return
    if detach:
        options = [*words("--set", sets), *words("--overlay", overlays), *words("--stage", stage)]
        options += [*given("--changed", changed), *given("--allow-drift", allow_drift)]
        start.detached(["resume", *options, f"--runs-dir={directory.parent}", "--", str(directory)])
    else:
        start.here()


def fork(
    run: Run,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Name of the new run.", show_default=False)],
    sets: Sets,
    overlays: Overlays,
    stage: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Run this stage and all after it anew (default: those that --set changes).",
            autocompletion=stage_names,
        ),
    ] = None,
    runs_dir: RunsDir = RUNS,
    json: Json = False,
) -> None:
    """Branch a run: its finished stages, with a changed recipe for the rest."""
    from os import chdir

    from o1kit.control.find import find_run
    from o1kit.resuming import fork as fork_run
    from o1kit.resuming import started_in

    with faults_as_json(json):
        source, overlays = find_run(run, runs_dir).resolve(), [path.resolve() for path in overlays]
        target = Path(new).absolute() if "/" in new else source.parent / new
        chdir(started_in(source) or ".")
        made = fork_run(source, target, sets, overlays, stage)
    if json:
        told = {"taken": made.taken, "to_run": made.to_run, "unlocked": made.unlocked}
        print_json({"folder": str(made.directory), "from": str(source), **told})
        return
    print(f"{made.directory}: from {source}")
    print(f"  taken over: {', '.join(made.taken) or 'nothing'}\n  to run:     {', '.join(made.to_run) or 'nothing'}")
    if made.unlocked:
        print("  its lock is left out: with these changes it is not what was locked")
    if made.to_run:
        print(f"run it: o1kit resume {made.directory}")
