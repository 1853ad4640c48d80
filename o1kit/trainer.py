"""The Lightning Trainer of a stage: our loggers, progress and checkpoints in place of Lightning's own."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from lightning import Trainer

from o1kit.artifacts import CHECKPOINTS
from o1kit.checkpoints import Checkpoints, FiniteLoss, PlainCheckpointIO
from o1kit.control.interrupt import Interrupt
from o1kit.errors import O1kitError
from o1kit.protocols import BuiltStage
from o1kit.tracking.callbacks import TrainingProgress


def build_trainer(
    built: BuiltStage, directory: Path, loggers: list[Any], interrupt: Interrupt, checkpoint_every: int
) -> Trainer:
    """The Trainer of a stage that writes to `directory`."""
    options = dict(built.trainer)
    often = bool(options.get("reload_dataloaders_every_n_epochs"))
    options.setdefault("log_every_n_steps", 1 if often or options.get("max_steps", 100) < 30 else 10)
    callbacks = [
        FiniteLoss(),
        TrainingProgress(built.phases or "step"),
        *options.pop("callbacks", ()),
        Checkpoints(directory / CHECKPOINTS, checkpoint_every, interrupt),
    ]
    return L.Trainer(
        accelerator="auto",
        devices=1,
        logger=loggers,
        callbacks=callbacks,
        plugins=[PlainCheckpointIO()],
        default_root_dir=directory,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **options,
    )


def require_complete(trainer: Trainer, name: str) -> None:
    """Compares the steps done with the steps planned: Lightning may end a continued training early without a word.

    Raises:
        O1kitError: training ended early although nothing asked it to.
    """
    short_steps = trainer.max_steps > 0 and trainer.global_step < trainer.max_steps
    short_epochs = (
        trainer.max_steps <= 0 and trainer.max_epochs is not None and trainer.current_epoch < trainer.max_epochs
    )
    if trainer.should_stop or not (short_steps or short_epochs):
        return
    done, planned = (
        (trainer.global_step, trainer.max_steps) if short_steps else (trainer.current_epoch, trainer.max_epochs)
    )
    raise O1kitError(
        f"stage {name!r}: training ended after {done} of {planned} {'steps' if short_steps else 'epochs'}. "
        f"Its data ran out; delete {trainer.default_root_dir} to start the stage over."
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silences the advice of libraries that does not apply here; real warnings still show."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for name in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in (
            ".*does not have many workers.*",
            ".*ended before the epoch ended and your dataloader is.*",
            ".*module\\(s\\) in eval mode at the start of training.*",
            ".*litlogger.*",
            ".*LeafSpec.*",
            ".*GPU available but not used.*",
            ".*The number of training batches.*is smaller than the logging interval.*",
            ".*There is a wandb run already in progress.*",
        ):
            warnings.filterwarnings("ignore", message=message)
        yield
