"""Where metrics go: `JsonlLogger` (always) and Weights & Biases (offline unless the recipe says otherwise)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from o1kit import registry
from o1kit.errors import EnvironmentFailure, O1kitError
from o1kit.protocols import TrackerContext
from o1kit.tracking.config import TrackerSection
from o1kit.tracking.jsonl import JsonlFile


class JsonlLogger(Logger):
    """Writes what Lightning logs to a JSON-lines file: `{"step": 12, "time": 1700000000.0, "sft/loss": 0.4}`."""

    def __init__(self, file: JsonlFile) -> None:
        super().__init__()
        self.file = file

    @property
    def name(self) -> str:
        """Lightning's name of the logger."""
        return "jsonl"

    @property
    def version(self) -> str:
        """Lightning's version of the logger: there is one file, so one version."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds one line."""
        self.file.append({"step": step or 0, "time": round(time.time(), 3), **metrics})

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: a stage's settings are in its config.json."""


def trackers(sections: Sequence[TrackerSection], context: TrackerContext) -> list[Logger]:
    """The loggers of installed trackers, for one stage. Lightning's Trainer closes them.

    Raises:
        EnvironmentFailure: one cannot start, or is no Lightning logger.
    """
    made = []
    for section in sections:
        name = f"the tracker {section.kind!r} of {registry.origin('trackers', section.kind)}"
        factory = registry.lookup("trackers", section.kind)
        try:
            logger = factory(section, context)
        except O1kitError:
            raise
        except Exception as error:  # another package's code, and whatever it talks to: anything can happen
            raise EnvironmentFailure(f"{name} cannot start: {type(error).__name__}: {error}") from error
        if not isinstance(logger, Logger):
            raise EnvironmentFailure(f"{name} made a {type(logger).__name__}, which is no Lightning logger.")
        made.append(logger)
    return made


def wandb_logger(
    mode: str, project: str, entity: str | None, directory: Path, *, group: str, stage: str, config: Mapping[str, Any]
) -> WandbLogger | None:
    """A W&B run for one stage, grouped by run, its files under `directory/wandb`; None when W&B is disabled.

    Offline it needs no account and opens no connection. `close_wandb` ends it.

    Raises:
        EnvironmentFailure: online and W&B cannot be reached, or nobody is logged in.
    """
    if mode == "disabled":
        return None
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    try:
        run = wandb.init(
            name=f"{group}/{stage}",
            dir=directory,
            project=project,
            entity=entity,
            group=group,
            job_type=stage,
            config=dict(config),
            mode="online" if mode == "online" else "offline",
            reinit="finish_previous",
            settings=_settings(),
        )
    except Exception as error:  # wandb raises many kinds
        raise EnvironmentFailure(
            f"Weights & Biases cannot start ({mode}): {error}. "
            "Run `wandb login`, or set tracking.wandb.mode to offline."
        ) from error
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return WandbLogger(experiment=run, save_dir=directory, project=project)


def close_wandb(logger: WandbLogger | None, exit_code: int = 0) -> None:
    """Ends the W&B run, so that the next stage gets one of its own."""
    if logger is not None:
        logger.experiment.finish(exit_code=exit_code)


def _settings() -> Any:
    """No output, no copy of the code, no look at the machine."""
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",
        save_code=False,
        disable_git=True,
        disable_job_creation=True,
        x_disable_stats=True,
        x_disable_meta=True,
    )
