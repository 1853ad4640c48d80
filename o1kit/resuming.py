"""Runs that go on or branch off, from their folders alone: `o1kit resume` and `o1kit fork`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from o1kit.artifacts import DONE, disk_errors, read_done, write_json
from o1kit.config import public
from o1kit.control.find import RECIPE
from o1kit.control.records import LAUNCH, Launch, read_record
from o1kit.errors import DataError, RecipeError
from o1kit.functional.secrets import reveal
from o1kit.identity import Identities
from o1kit.outlook import outlook
from o1kit.plan import Plan, compile_recipe
from o1kit.recipe.loader import load_recipe
from o1kit.recipe.schema import Recipe

LINKED_BYTES = 1 << 20
"""Finished files from this size on are shared with a fork by hard links: nothing changes them in place."""
SHOWN = 6


@dataclass(frozen=True, slots=True)
class Resumed:
    """A run that is to go on."""

    plan: Plan
    launch: Launch
    from_file: bool
    """True if the recipe file was read again; False if the run's own recipe.json is the recipe."""


def resumed(
    directory: Path,
    sets: Sequence[str] = (),
    stages: Sequence[str] = (),
    overlays: Sequence[Path] = (),
    *,
    changed: bool = False,
) -> Resumed:
    """What a run's folder says about going on with it.

    Args:
        directory: the run's folder.
        sets: further changes, as for `o1kit run`.
        stages: selection; empty: what was selected last.
        overlays: further files laid over the recipe.
        changed: take the recipe file also if it has changed since.

    Raises:
        RecipeError: the recipe file has changed since, or the run cannot be resumed from its folder.
    """
    launch = _launch(directory)
    file = Path(launch.recipe) if launch.recipe is not None else directory / RECIPE
    from_file = launch.recipe is not None and file.is_file()
    file, before = (file, launch.sets) if from_file else (directory / RECIPE, ())
    own = [f"name={directory.resolve().name}"]  # a folder that was renamed or copied is the run that it is called
    below = [Path(path) for path in launch.overlays] if from_file else []
    here = None if from_file else Path(launch.recipe_directory)
    recipe = load_recipe(file, [*before, *own], below, here)
    if from_file and not changed and (directory / RECIPE).is_file():
        _refuse_changes(directory, file, recipe, _kept(directory, launch, own))
    if sets or overlays:
        recipe = load_recipe(file, [*before, *sets, *own], [*below, *overlays], here)
    update = {
        "recipe": str(file) if from_file else None,
        "sets": (*before, *sets) if from_file else (),
        "overlays": tuple(str(path.resolve()) for path in [*below, *overlays]) if from_file else (),
        "stages": tuple(stages) or launch.stages,
    }
    return Resumed(compile_recipe(recipe), launch.model_copy(update=update), from_file)


def started_in(directory: Path) -> Path | None:
    """The folder that a run was started in, where it still exists: some paths in recipes start from there."""
    launch = read_record(directory / LAUNCH, Launch)
    folder = Path(reveal(launch.cwd)) if launch is not None and launch.cwd is not None else None
    return folder if folder is not None and folder.is_dir() else None


@dataclass(frozen=True, slots=True)
class Fork:
    """A new run's folder: what it has taken over, and what is left to do."""

    directory: Path
    taken: tuple[str, ...]
    to_run: tuple[str, ...]
    unlocked: bool = False
    """True if the recipe was locked and the changes are not what was: the new one has no lock."""


def fork(
    source: Path,
    target: Path,
    sets: Sequence[str] = (),
    overlays: Sequence[Path] = (),
    before: str | None = None,
) -> Fork:
    """Makes a new run of a run: the changed recipe, and the finished stages that it leaves as they are.

    Args:
        source: folder of the run.
        target: folder of the new one; its name is the new run's name.
        sets: changes of the recipe.
        overlays: files laid over it.
        before: only take over stages before this one; None: all that the changes leave as they are.

    Raises:
        RecipeError: the folder exists, the recipe is wrong, or there is no such stage.
        EnvironmentFailure: the folder cannot be written.
    """
    if os.path.lexists(target):
        raise RecipeError(f"{target}: exists already. Choose another name, or go on with it: o1kit resume {target}.")
    launch = _launch(source)
    plan = compile_recipe(_kept(source, launch, [*sets, f"name={target.name}"], overlays))
    unlocked = plan.recipe.lock is not None and _prints(plan) != _prints(compile_recipe(_kept(source, launch, [])))
    if unlocked:
        plan = replace(plan, recipe=plan.recipe.model_copy(update={"lock": None}))
    names = [stage.name for stage in plan.stages]
    if before is not None and before not in names:
        from o1kit.registry import suggestion

        raise RecipeError(f"--stage {before}: no such stage.{suggestion(before, names)}")
    kept = names[: names.index(before)] if before is not None else names
    rows = outlook(Identities(plan, Path(launch.recipe_directory)), source, kept, verify=True)
    taken = tuple(row.stage for row in rows if row.action == "skip" and row.stage in kept)
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Under a name that is no run's until it is whole.
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            os.chmod(draft, 0o755)
            for name in taken:
                _take(source / name, draft / name)
            write_json(draft / RECIPE, public(plan.recipe), clean=True)
            own = Launch(recipe_directory=launch.recipe_directory, cwd=launch.cwd, forked_from=str(source.resolve()))
            write_json(draft / LAUNCH, own.model_dump(mode="json"))
            os.rename(draft, target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return Fork(target, taken, tuple(name for name in names if name not in taken), unlocked)


def _prints(plan: Plan) -> dict[str, str]:
    return {stage.name: stage.fingerprint for stage in plan.stages}


def _launch(directory: Path) -> Launch:
    launch = read_record(directory / LAUNCH, Launch)
    if launch is None:
        raise RecipeError(
            f"{directory}: does not say how it was started (no readable {LAUNCH}): it was made by an earlier o1kit. "
            "Run its recipe once: o1kit run RECIPE goes on where it was."
        )
    return launch.model_copy(
        update={
            "recipe": reveal(launch.recipe) if launch.recipe is not None else None,
            "recipe_directory": reveal(launch.recipe_directory),
            "overlays": tuple(map(reveal, launch.overlays)),
        }
    )


def _kept(directory: Path, launch: Launch, sets: Sequence[str], overlays: Sequence[Path] = ()) -> Recipe:
    """The recipe that a run's folder holds, whose paths start from where it once lay."""
    if not (directory / RECIPE).exists():
        raise RecipeError(f"{directory}: holds no {RECIPE} yet: the run is only starting. Try again in a moment.")
    return load_recipe(directory / RECIPE, sets, overlays, Path(launch.recipe_directory))


def _refuse_changes(directory: Path, file: Path, now: Recipe, then: Recipe) -> None:
    """Raises RecipeError if the recipe is another one than the run was started with."""
    found = list(differences(public(then), public(now)))
    if found:
        more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise RecipeError(
            f"{file}: has changed since {directory.name} was started: {'; '.join(found[:SHOWN])}{more}. "
            "To go on with what it says now: --changed; to leave this run as it is: o1kit fork RUN NEW --set KEY=VALUE."
        )


def differences(then: Any, now: Any, path: str = "") -> Iterator[str]:
    """Where two recipes differ: `stages[ppo].iterations: 4 -> 8`."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*then, *now]):
            yield from differences(then.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for i, (a, b) in enumerate(zip(then, now, strict=True)):
            label = a.get("name", i) if isinstance(a, Mapping) else i
            yield from differences(a, b, f"{path}[{label}]")
    elif then != now:
        yield f"{path}: {_short(then)} -> {_short(now)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _take(source: Path, target: Path) -> None:
    """Copies a finished stage: the files of its manifest and nothing else, links not followed."""
    for name in [*(read_done(source) or {})["files"], DONE]:
        file, place = source / name, target / name
        if ".." in Path(name).parts or file.is_symlink() or not place.is_relative_to(target):
            raise DataError(f"{source / DONE}: names {name!r}, which is no file of this stage. Run the stage again.")
        place.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(file, place)


def _link_or_copy(source: Path, target: Path) -> None:
    if source.stat().st_size >= LINKED_BYTES:
        with suppress(OSError):  # another disk, or one without links
            os.link(source, target)
            return
    shutil.copy2(source, target)
