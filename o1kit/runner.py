"""Runs a plan: each stage gets a Lightning Trainer, a folder, and a `done.json` once all of it is on disk.

    runs/<name>/recipe.json          the recipe as it was understood
    runs/<name>/launch.json          what the run was last started with; attempts/ holds one file a start
    runs/<name>/status.json          how far it is, about once a second
    runs/<name>/<stage>/config.json  the stage's section
    runs/<name>/<stage>/...          weights, metrics.jsonl, rollouts.jsonl, done.json last
    runs/<name>/results.json         what the last evaluation measured
    runs/<name>/plan.json            what the run was expected to take, and what it took

A finished stage with the same fingerprint is skipped. A changed one moves aside (to `<stage>.previous`) and runs anew.
A killed one continues from its newest intact checkpoint.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o1kit import beforehand, registry
from o1kit.artifacts import (
    CHECKPOINTS,
    DONE,
    disk_errors,
    finite,
    preflight,
    read_artifact,
    read_done,
    write_atomic,
    write_done,
    write_json,
)
from o1kit.config import public
from o1kit.control.attempt import Beats, recorded
from o1kit.control.interrupt import Interrupt
from o1kit.control.lock import locked
from o1kit.control.records import Launch
from o1kit.cpu import peak_memory_mb, release_memory, tune_process
from o1kit.errors import RecipeError
from o1kit.identity import STAGE, Identities, previous_of
from o1kit.outlook import WORK, outlook, read_json, require_work, summary
from o1kit.planning.record import Record
from o1kit.protocols import Artifact, BuiltStage, StageInputs, TrackerContext
from o1kit.report import results as results_file
from o1kit.report.table import cells, headings, print_report
from o1kit.report.tree import read_trees, rows_of, tree_file
from o1kit.tasks.suite import build_suite
from o1kit.tracking.jsonl import METRICS, ROLLOUTS, JsonlFile
from o1kit.tracking.progress import Display, duration, use

if TYPE_CHECKING:
    from lightning.pytorch.loggers import WandbLogger

    from o1kit.plan import Plan, PlannedStage

NEEDED_MB = 500
"""Free disk space, in MiB, without which a run does not start."""
SHOWN_TREES = 100
"""Most search trees of a stage that W&B shows."""


def run_plan(
    plan: Plan,
    *,
    recipe_directory: Path,
    runs_dir: Path,
    stages: Sequence[str] | None = None,
    plain: bool = False,
    launch: Launch | None = None,
    resume: bool = False,
) -> Path:
    """Runs the plan's stages, or the selected ones, and returns the run's folder.

    Args:
        plan: what to run.
        recipe_directory: folder that relative paths in the recipe start from.
        runs_dir: folder that holds one folder a run.
        stages: names, or ranges `first..last`; None runs all.
        plain: lines instead of bars and boxes, also on a terminal.
        launch: where the recipe came from, for `o1kit resume`; None: the run's own recipe.json is all there is.
        resume: insist that there is something to go on with.

    Raises:
        RecipeError: a selected stage does not exist, or lacks an earlier stage; nothing to go on with.
        EnvironmentFailure: the folder cannot be used.
        ResourceError: there is too little free disk space.
        DivergedError: training went off the rails.
    """
    directory: Path = runs_dir / plan.recipe.name
    names = [stage.name for stage in plan.stages]
    chosen = select_stages(names, stages)
    run = _Run(plan, recipe_directory.resolve(), directory, Display(plain=plain))
    if resume:
        require_work(run.identities, directory, chosen)
    preflight(directory, NEEDED_MB)
    launch = launch or Launch(recipe_directory=str(recipe_directory.resolve()), stages=tuple(stages or ()))
    launch = launch.model_copy(update={"cwd": os.getcwd()})
    # Everything heavy is imported after this line: the run can be seen and stopped while it starts.
    with (
        locked(directory),
        Interrupt(run.display.say).listening() as run.interrupt,
        recorded(directory, launch, names, chosen) as run.beats,
    ):
        run.go(chosen)
    return directory


def select_stages(names: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """The stages that `--stage` asks for, in the plan's order.

    Raises:
        RecipeError: a name is not in the plan, or a range runs backwards.
    """
    if not wanted:
        return list(names)
    chosen: set[str] = set()
    for text in wanted:
        first, dots, last = text.partition("..")
        for name in (first, last or first):
            if name not in names:
                raise RecipeError(f"--stage {text}: no stage {name!r}.{registry.suggestion(name, list(names))}")
        begin, end = names.index(first), names.index(last or first)
        if dots and not last:
            end = len(names) - 1
        if begin > end:
            raise RecipeError(f"--stage {text}: {first!r} comes after {last!r}. Write {last}..{first}.")
        chosen.update(names[begin : end + 1])
    return [name for name in names if name in chosen]


@dataclass
class _Run:
    """One run in progress: which stages are finished so far."""

    plan: Plan
    recipe_directory: Path
    directory: Path
    display: Display
    interrupt: Interrupt = field(init=False)
    beats: Beats = field(init=False)
    finished: dict[str, Artifact] = field(default_factory=dict)
    working: list[PlannedStage] = field(default_factory=list)
    """The stages that will run, as far as can be told beforehand."""

    @cached_property
    def identities(self) -> Identities:
        """What makes each stage's folder the right one."""
        return Identities(self.plan, self.recipe_directory)

    def announce(self, chosen: Sequence[str]) -> None:
        """Says what is left to do and what is done again, if anything was done before."""
        rows = outlook(self.identities, self.directory, chosen, verify=False)
        self.working = [s for s, row in zip(self.plan.stages, rows, strict=True) if row.action in WORK]
        if any(row.action in ("continue", "run again") for row in rows):
            self.display.say(summary(rows))

    def go(self, chosen: Sequence[str]) -> None:
        """Runs the chosen stages, in order."""
        from o1kit.trainer import quiet

        tune_process()
        self.display.watcher = self.beats.moved
        with use(self.display), quiet():
            self.announce(chosen)
            write_json(self.directory / "recipe.json", public(self.plan.recipe), clean=True)
            record = Record(self.plan, self.recipe_directory, self.directory, chosen)
            for stage in self.plan.stages:
                self.stage(stage, selected=stage.name in chosen)
            self.report()
            for line in record.finish():
                self.display.say(line)

    @cached_property
    def problems_checked(self) -> bool:
        """True; looking at it makes sure once that every source of problems works, before anything expensive.

        And that later stages will not stop for what can be told of them now.
        """
        recipe = self.plan.recipe
        suite = build_suite(recipe.tasks, recipe.seed, self.recipe_directory)
        for path, error in suite.faults():
            raise error.at(recipe.where(*path)) from error
        for fault in beforehand.faults(self.plan, self.working, suite, self.recipe_directory):
            raise fault
        return True

    def stage(self, stage: PlannedStage, *, selected: bool) -> None:
        """Runs one stage unless it is finished; an unselected one is only looked at."""
        directory = self.directory / stage.name
        missing = [name for name in stage.inputs if name not in self.finished]
        if selected and not missing:
            self._take_back(stage, directory)
        artifact = read_artifact(directory)
        if artifact is not None and not missing and self.identities.current(stage, directory, self.finished):
            self.finished[stage.name] = artifact
            if selected:
                self.display.say(f"{stage.name}: already done, skipped")
        elif selected:
            if missing:
                raise RecipeError(
                    f"stage {stage.name!r} needs {missing[0]!r}, which is not finished or has changed. "
                    f"Run: o1kit run RECIPE --stage {missing[0]}..{stage.name}"
                )
            self.display.stage = stage.name
            self.beats.enter(stage.name)
            self.finished[stage.name] = self._execute(stage, directory)
            self.display.stage = ""
        if stage.name in self.finished:
            self.beats.leave(stage.name)
            self._adopt_results(directory)

    def _execute(self, stage: PlannedStage, directory: Path) -> Artifact:
        """Trains, exports, and marks the stage as done."""
        started = time.monotonic()
        assert self.problems_checked
        identity = self.identities.of(stage, self.finished)
        self._prepare(stage, directory, identity)
        artifacts = {name: self.finished[name] for name in stage.inputs}
        config, recipe = stage.config, self.plan.recipe
        random_start(stage.seed)
        implementation = registry.lookup("stages", stage.kind)()
        built: BuiltStage = implementation.build(
            StageInputs(
                config,
                recipe,
                self.recipe_directory,
                directory,
                artifacts,
                stage.seed,
                stage.fingerprint,
                {one.name: one.inputs for one in self.plan.stages},
            )
        )
        wandb = self._wandb(stage)
        code = 1
        try:
            self._train(stage, directory, built, wandb)
            summary = finite(dict(implementation.export(built, directory)))
            self._log_summary(directory, wandb, summary)
            code = 0
        finally:
            from o1kit.tracking.loggers import close_wandb

            close_wandb(wandb, code)
        seconds = time.monotonic() - started
        artifact = write_done(
            directory,
            stage.name,
            stage.kind,
            stage.fingerprint,
            inputs=identity["inputs"],
            data=identity["data"],
            seconds=round(seconds, 1),
            peak_memory_mb=peak_memory_mb(),
            summary=summary,
        )
        shutil.rmtree(directory / CHECKPOINTS, ignore_errors=True)
        self.display.say(f"{stage.name}: done in {duration(seconds)}")
        del built
        release_memory()
        return artifact

    def _prepare(self, stage: PlannedStage, directory: Path, identity: dict[str, Any]) -> None:
        """Leaves the folder empty, or with what the same stage has done so far."""
        damaged = (directory / DONE).exists()
        if directory.is_dir() and (damaged or read_json(directory / STAGE) != identity):
            self._set_aside(directory)
            old = f"; the old folder is now {previous_of(directory).name}" if damaged else ""
            self.display.say(f"{stage.name}: changed or damaged, runs again{old}")
        write_json(directory / STAGE, identity, clean=True)
        write_json(directory / "config.json", public(stage.config), clean=True)

    def _set_aside(self, directory: Path) -> None:
        """Keeps a folder as the previous one; what was only begun never takes the place of something finished."""
        previous = previous_of(directory)
        with disk_errors(directory):
            if (directory / DONE).exists() or not (previous / DONE).exists():
                shutil.rmtree(previous, ignore_errors=True)
                os.replace(directory, previous)
            else:
                shutil.rmtree(directory)

    def _take_back(self, stage: PlannedStage, directory: Path) -> None:
        """Puts the previous folder back if it holds this very stage, finished, and the present one does not."""
        if read_done(directory) is not None and self.identities.current(stage, directory, self.finished):
            return
        if self.identities.kept(stage, directory, self.finished) is None:
            return
        previous, other = previous_of(directory), directory.with_name(f".{stage.name}.swap")
        with disk_errors(directory):
            shutil.rmtree(other, ignore_errors=True)
            if directory.exists():
                os.replace(directory, other)
            os.replace(previous, directory)
            if (other / DONE).exists():
                os.replace(other, previous)
            shutil.rmtree(other, ignore_errors=True)
        self.display.say(f"{stage.name}: taken back from {previous.name}, where it was finished")

    def _wandb(self, stage: PlannedStage) -> WandbLogger | None:
        from o1kit.tracking.loggers import wandb_logger

        options = self.plan.recipe.tracking.wandb
        config = {"stage": public(stage.config), "recipe": public(self.plan.recipe)}
        return wandb_logger(
            options.mode,
            options.project,
            options.entity,
            self.directory,
            group=self.plan.recipe.name,
            stage=stage.name,
            config=config,
        )

    def _trackers(self, stage: PlannedStage) -> list[Any]:
        from o1kit.tracking.loggers import trackers

        recipe = self.plan.recipe
        config = {"stage": public(stage.config), "recipe": public(recipe)}
        context = TrackerContext(recipe.name, stage.name, self.directory, self.directory / stage.name, config)
        return list(trackers(recipe.tracking.trackers, context))

    def _train(self, stage: PlannedStage, directory: Path, built: BuiltStage, wandb: WandbLogger | None) -> None:
        from o1kit.checkpoints import newest
        from o1kit.tracking.loggers import JsonlLogger
        from o1kit.trainer import build_trainer, require_complete

        found = newest(directory / CHECKPOINTS) if built.verb == "fit" else None
        checkpoint, step = found or (None, 0)
        if checkpoint is not None:
            self.display.say(f"resuming at stage {stage.name}, step {step}; {_end(built)}")
        else:
            self.display.say(f"{stage.name}: starting")
        metrics = JsonlFile(directory / METRICS)
        for file in (metrics, JsonlFile(directory / ROLLOUTS)):
            file.rewind(step)
        loggers = [JsonlLogger(metrics), *([wandb] if wandb is not None else []), *self._trackers(stage)]
        every = getattr(stage.config, "checkpoint_every", 200)
        trainer = build_trainer(built, directory, loggers, self.interrupt, every)
        if built.verb == "test":
            trainer.test(built.module, datamodule=built.data, verbose=False)
        else:
            trainer.fit(built.module, datamodule=built.data, ckpt_path=checkpoint)
            require_complete(trainer, stage.name)

    def _log_summary(self, directory: Path, wandb: WandbLogger | None, summary: dict[str, Any]) -> None:
        from o1kit.tracking.tables import log_table

        numbers = {key: value for key, value in summary.items() if isinstance(value, int | float)}
        if wandb is not None and numbers:
            wandb.experiment.summary.update(numbers)
        if (directory / results_file.FILE).is_file():
            results = results_file.read_results(directory / results_file.FILE)
            rows = [dict(zip(headings(results), line, strict=True)) for line in cells(results)]
            log_table(wandb, "eval/table", rows)
        trees = tree_file(directory)
        if wandb is not None and trees is not None:
            shown = islice(read_trees(trees), SHOWN_TREES)
            log_table(wandb, "search/trees", [row for tree in shown for row in rows_of(tree)])

    def _adopt_results(self, directory: Path) -> None:
        source = directory / results_file.FILE
        if source.is_file():
            write_atomic(self.directory / results_file.FILE, source.read_bytes())

    def report(self) -> None:
        """Prints the table of the last evaluation and where everything lies."""
        path = self.directory / results_file.FILE
        if path.is_file() and any((a.directory / results_file.FILE).is_file() for a in self.finished.values()):
            print_report(results_file.read_results(path), self.display.console, plain=self.display.plain)
        self.display.say(f"\nrun folder: {self.directory}")


def _end(built: BuiltStage) -> str:
    """Where a training will stop."""
    steps, epochs = built.trainer.get("max_steps", -1), built.trainer.get("max_epochs")
    if steps > 0:
        return f"will stop at step {steps}"
    return f"will stop after {built.phases or 'epoch'} {epochs}" if epochs is not None else "will stop with its data"


def random_start(seed: int) -> None:
    """Seeds every random generator, so that a stage does not depend on what ran before it."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed % 2**63)
