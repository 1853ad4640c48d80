"""One run: how it stands, whether its files are whole, whether it went wrong."""

from __future__ import annotations

import json
import shutil
import time
import zipfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from o1kit.artifacts import CHECKPOINTS, DONE, read_artifact, read_done
from o1kit.control.find import RECIPE
from o1kit.control.state import SILENT_S, RunState, look
from o1kit.control.table import size
from o1kit.doctor.check import Check, Level
from o1kit.errors import DivergedError, RecipeError
from o1kit.tracking.jsonl import METRICS
from o1kit.tracking.progress import duration

LAST_ROWS = 500
"""Lines of metrics that are looked at, from the end."""
MAX_FAILED = 0.02
"""Share of judgements that failed from which a stage's numbers are doubtful (the default of max_failed_judgements)."""


def run_checks(directory: Path) -> Iterator[Check]:
    """State, heartbeat, recipe, stages, checkpoints, losses, judgements, disk."""
    state = look(directory)
    yield _state(state)
    if state.heartbeat is not None:
        yield _heartbeat(state)
    yield _recipe(directory)
    for stage in state.stages or tuple(sorted(p.name for p in directory.iterdir() if (p / METRICS).is_file())):
        folder = directory / Path(stage).name
        if folder.is_dir():
            yield from stage_checks(folder)
    free = shutil.disk_usage(directory).free
    yield Check("disk", "ok", f"{size(state.disk_bytes)} used by the run, {size(free)} free")


def _state(state: RunState) -> Check:
    levels: dict[str, Level] = {"failed": "fail", "died": "warn", "stale": "warn"}
    where = f" at stage {state.stage}" if state.stage else ""
    text = f"{state.state}{where}{f': {state.detail}' if state.detail else ''}"
    remedies = {
        DivergedError.exit_code: "Lower optimizer.lr, raise warmup_steps; then: o1kit resume RUN --changed.",
        RecipeError.exit_code: "Correct the recipe; then: o1kit resume RUN --changed.",
    }
    go_on = f"Go on with: o1kit resume {state.directory}"
    remedy = remedies.get(state.exit_code or 0, go_on) if state.state in ("failed", "died", "stale") else ""
    return Check("state", levels.get(state.state, "ok"), text, remedy)


def _heartbeat(state: RunState) -> Check:
    assert state.heartbeat is not None
    age = max(time.time() - state.heartbeat, 0.0)
    if state.state == "running" and age > SILENT_S:
        remedy = f"See where it is: py-spy dump --pid {state.pid}, or its run.log."
        return Check("heartbeat", "warn", f"the last one {duration(age)} ago, although it runs", remedy)
    return Check("heartbeat", "ok", f"{duration(age)} ago")


def _recipe(directory: Path) -> Check:
    from o1kit.recipe.loader import load_recipe

    try:
        load_recipe(directory / RECIPE)
    except RecipeError as error:
        text = f"cannot be read any more: {str(error).partition(chr(10))[0]}"
        return Check("recipe", "warn", text, "Run it again from its recipe file.")
    return Check("recipe", "ok", str(directory / RECIPE))


def stage_checks(folder: Path) -> Iterator[Check]:
    """A stage's files, checkpoints, losses and judgements."""
    name = f"stage {folder.name}"
    if (folder / DONE).exists():
        whole = read_artifact(folder) is not None
        remedy = "" if whole else "Run it again: the same command notices, and keeps the old folder."
        text = "finished, every file as it was written" if whole else "marked as done, but files differ or are missing"
        yield Check(name, "ok" if whole else "fail", text, remedy)
    yield from _checkpoints(name, folder / CHECKPOINTS)
    rows = _last_rows(folder / METRICS)
    lost = [row for row in rows if any(key.endswith("/loss") and value is None for key, value in row.items())]
    if lost:
        text = f"the loss at step {lost[0].get('step')} is not a number"
        yield Check(name, "fail", text, "Lower optimizer.lr, or raise optimizer.warmup_steps.")
    yield from _judgements(name, folder, rows)


def _checkpoints(name: str, folder: Path) -> Iterator[Check]:
    """Every byte of every checkpoint against its checksum."""
    files = sorted(folder.glob("step-*.ckpt"), reverse=True)
    damaged = [file.name for file in files if not _whole(file)]
    if not files:
        return
    intact = [file for file in files if file.name not in damaged]
    if not intact:
        text = f"no checkpoint is intact: {', '.join(damaged)}"
        yield Check(name, "fail", text, "The stage will start over. Check the disk.")
    elif damaged:
        text = f"damaged: {', '.join(damaged)}; {intact[0].name} is intact"
        yield Check(name, "warn", text, "The run will go on from the intact one. Check the disk.")
    else:
        yield Check(name, "ok", f"{len(files)} checkpoints intact, the newest {intact[0].name}")


def _whole(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError):
        return False


def _judgements(name: str, folder: Path, rows: list[dict[str, Any]]) -> Iterator[Check]:
    """Judgements that failed, as the stage counts them."""
    done = (read_done(folder) or {}).get("summary")
    summary: dict[str, Any] = done if isinstance(done, dict) else {}
    failed, judged = summary.get("failed_judgements"), summary.get("judgements")
    if failed is None:
        failed = max((row.get("search/failed_judgements") or 0 for row in rows), default=0)
    if not isinstance(failed, int | float) or failed <= 0:
        return
    share = failed / judged if isinstance(judged, int | float) and judged else None
    text = f"{failed:g} judgements failed" + (f", {share:.1%} of all" if share is not None else "")
    level: Level = "warn" if share is None or share > MAX_FAILED else "ok"
    yield Check(name, level, text, "Look for the reasons in the log; repair the reward." if level == "warn" else "")


def _last_rows(path: Path) -> list[dict[str, Any]]:
    lines: deque[bytes] = deque(maxlen=LAST_ROWS)
    try:
        with path.open("rb") as stream:
            lines.extend(stream)
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            found.append(row)
    return found
