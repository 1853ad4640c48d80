"""`outlook`: what a run would do with each stage, before it does anything. Reads the run's folder, writes nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from o1kit.artifacts import CHECKPOINTS, DONE, read_artifact, read_done
from o1kit.control.records import LAUNCH
from o1kit.errors import RecipeError
from o1kit.identity import STAGE, Identities, previous_of
from o1kit.protocols import Artifact

if TYPE_CHECKING:
    from o1kit.plan import PlannedStage

Action = Literal["skip", "run", "continue", "run again", "left out", "cannot run"]
WORK: tuple[Action, ...] = ("run", "continue", "run again")


@dataclass(frozen=True, slots=True)
class Row:
    """What happens to one stage, and why."""

    stage: str
    kind: str
    action: Action
    note: str = ""
    step: int | None = None
    """Step of the checkpoint that it goes on from, if any."""


@dataclass
class _Outlook:
    identities: Identities
    directory: Path
    chosen: Collection[str]
    verify: bool
    finished: dict[str, Artifact] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)

    def row(self, stage: PlannedStage) -> Row:
        action, note, step = self._decide(stage)
        if action in WORK:
            self.pending.add(stage.name)
        return Row(stage.name, stage.kind, action, note, step)

    def _decide(self, stage: PlannedStage) -> tuple[Action, str, int | None]:
        folder, selected = self.directory / stage.name, stage.name in self.chosen
        waiting = [name for name in stage.inputs if name in self.pending]
        missing = [name for name in stage.inputs if name not in self.finished and name not in self.pending]
        artifact = self._artifact(folder)
        known = not waiting and not missing
        if artifact is not None and known and self.identities.current(stage, folder, self.finished):
            self.finished[stage.name] = artifact
            return "skip", "finished", None
        kept = self.identities.kept(stage, folder, self.finished) if selected and known else None
        if kept is not None:
            self.finished[stage.name] = kept
            return "skip", f"finished before, kept in {previous_of(folder).name}", None
        if not selected:
            return "left out", "not selected", None
        if missing:
            return "cannot run", f"needs {', '.join(missing)}, not finished and not selected", None
        return self._work(folder, waiting, self.identities.of(stage, self.finished) if known else None)

    def _work(
        self, folder: Path, waiting: Sequence[str], identity: Mapping[str, Any] | None
    ) -> tuple[Action, str, int | None]:
        kept = f"the old folder will be {previous_of(folder).name}"
        if (folder / DONE).exists():
            why = f"after {', '.join(waiting)}" if waiting else "changed since it was finished, or damaged"
            return "run again", f"{why}; {kept}", None
        if not (folder / STAGE).exists():
            return "run", "", None
        if identity is None or read_json(folder / STAGE) != identity:
            lost = "what was begun is removed" if (previous_of(folder) / DONE).exists() else kept
            return "run again", f"changed since it was begun; {lost}", None
        step = newest_step(folder)
        return "continue", f"from step {step}" if step is not None else "begun, no checkpoint yet", step

    def _artifact(self, folder: Path) -> Artifact | None:
        if self.verify:
            return read_artifact(folder)
        done = read_done(folder)
        return Artifact(folder.name, "", folder, "") if done is not None else None


def outlook(identities: Identities, directory: Path, chosen: Collection[str], *, verify: bool) -> list[Row]:
    """What a run of the chosen stages would do, in order.

    Args:
        identities: of the plan's stages.
        directory: the run's folder, which need not exist.
        chosen: names of the stages that are to run.
        verify: also compares every file of finished stages with its checksum.
    """
    state = _Outlook(identities, directory, chosen, verify)
    return [state.row(stage) for stage in identities.plan.stages]


def summary(rows: Sequence[Row]) -> str:
    """What is left to do, in one line: `to run: ppo (from step 120), evaluate`."""
    names = [row.stage + (f" ({row.note})" if row.action != "run" else "") for row in rows if row.action in WORK]
    return f"to run: {', '.join(names)}"


def require_work(identities: Identities, directory: Path, chosen: Collection[str]) -> None:
    """Makes sure that there is something to go on with.

    Raises:
        RecipeError: nothing was begun in the run's folder, or nothing that was chosen is left.
    """
    rows = outlook(identities, directory, chosen, verify=True)
    if not (directory / LAUNCH).is_file() and not any(row.action in ("skip", "continue") for row in rows):
        raise RecipeError(f"{directory}: nothing to go on with. Leave out --resume to start the run.")
    if any(row.action in WORK or row.action == "cannot run" for row in rows):
        return
    left = [row.stage for row in rows if row.action == "left out"]
    advice = f"To run what was not selected: --stage {left[0]}..{left[-1]}." if left else "Every stage is finished."
    raise RecipeError(
        f"{directory}: nothing to go on with: {', '.join(chosen)} done. {advice} "
        "For a variant: o1kit fork RUN NEW --set KEY=VALUE."
    )


def newest_step(folder: Path) -> int | None:
    """Step of the newest checkpoint by its name; what is in it is not looked at."""
    steps = [file.stem.partition("-")[2] for file in (folder / CHECKPOINTS).glob("step-*.ckpt")]
    return max((int(step) for step in steps if step.isdecimal()), default=None)


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None if there is none that makes sense."""
    with suppress(OSError, ValueError):
        return json.loads(path.read_text(encoding="utf-8"))
    return None
