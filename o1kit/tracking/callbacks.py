"""`TrainingProgress`: shows a Lightning training on the current display."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from o1kit.tracking.progress import Progress, short_names


class TrainingProgress(Callback):
    """Counts optimizer steps, or epochs for a stage that collects new data in each, with loss, rate and time left.

    Beside the loss it shows what the module logs with `prog_bar=True`.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self._progress: Progress | None = None
        self._loss: dict[str, float] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Opens the display at the step the run continues from."""
        total = trainer.max_epochs if collects_each_epoch(trainer) else trainer.max_steps
        done = trainer.current_epoch if collects_each_epoch(trainer) else trainer.global_step
        self._progress = Progress(self.unit, total if total and total > 0 else None, done=done).__enter__()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One step further."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, torch.Tensor) and loss.numel() == 1:
            self._loss = {"loss": loss.item()}
        if self._progress is not None:
            done = trainer.current_epoch if collects_each_epoch(trainer) else trainer.global_step
            self._progress.update(done, **self._shown(trainer))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """One epoch further, where those are counted."""
        if self._progress is not None and collects_each_epoch(trainer):
            self._progress.update(trainer.current_epoch + 1, **self._shown(trainer))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Closes the display with a summary line."""
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Closes the display, so that the message is not drawn over."""
        if self._progress is not None:
            self._progress.__exit__(type(exception), exception, None)
            self._progress = None

    def _shown(self, trainer: L.Trainer) -> dict[str, float]:
        extra = {name: float(value) for name, value in trainer.progress_bar_metrics.items()}
        return {**self._loss, **short_names(extra)}


def collects_each_epoch(trainer: L.Trainer) -> bool:
    """True for a stage that makes new data for every epoch, like PPO: epochs are its unit of work."""
    return bool(getattr(trainer, "reload_dataloaders_every_n_epochs", 0))
