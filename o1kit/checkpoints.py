"""Checkpoints a killed stage continues from: written whole, read back, and free of pickled code.

Lightning's own saving ignores an unwritable folder, goes through $TMPDIR and keeps no random state; hence these.
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.pytorch.callbacks import Callback

from o1kit.artifacts import disk_errors, write_stream
from o1kit.control.interrupt import Interrupt
from o1kit.errors import DivergedError, EnvironmentFailure
from o1kit.tracking.callbacks import collects_each_epoch

SUFFIX = ".ckpt"
KEEP = 2


class PlainCheckpointIO(CheckpointIO):
    """Writes beside the target, syncs, reads back, renames; loads tensors and plain containers only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a checkpoint.

        Raises:
            ResourceError: the disk is full.
            EnvironmentFailure: it cannot be written, or reads back damaged.
        """
        write_stream(Path(path), lambda stream: torch.save(checkpoint, stream), verify)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Reads a checkpoint; pickled code is refused whatever the caller asks."""
        checkpoint: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """Deletes a checkpoint."""
        Path(path).unlink(missing_ok=True)


def verify(path: Path) -> None:
    """Checks every byte of a checkpoint against its checksums, and that it holds plain data.

    Raises:
        EnvironmentFailure: it is damaged, or holds objects that could not be loaded safely.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is None:
            torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            return
    except Exception as error:  # zip, pickle and torch raise many kinds
        raise EnvironmentFailure(f"{path}: this checkpoint cannot be used: {error}") from error
    raise EnvironmentFailure(f"{path}: this checkpoint is damaged ({damaged}). Check the disk.")


def newest(directory: Path) -> tuple[Path, int] | None:
    """The newest checkpoint that is intact, and its step; damaged ones are passed over."""
    if not directory.is_dir():
        return None
    for path in sorted(directory.glob(f"step-*{SUFFIX}"), reverse=True):
        try:
            verify(path)
        except EnvironmentFailure:
            continue
        return path, int(path.stem.partition("-")[2])
    return None


class Checkpoints(Callback):
    """Saves every `every` optimizer steps; a stage that collects new data for each epoch, at the ends of epochs only.

    Its own state is the random state of Python, numpy and torch, so that lies in every checkpoint. A loader made anew
    for every epoch must bring its own `generator`: Lightning iterates over it once less in the first continued epoch.
    """

    def __init__(self, directory: Path, every: int, interrupt: Interrupt) -> None:
        self.directory, self.every, self.interrupt = directory, every, interrupt
        self._saved = -1
        self._random: Mapping[str, Any] | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Sets the random state of the checkpoint again: making the loaders has drawn from it."""
        self._saved = trainer.global_step
        if self._random is not None and not collects_each_epoch(trainer):
            set_random_state(self._random)
        self._random = None
        self.interrupt.defer = True

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when it is time, and before an interrupted run ends."""
        if collects_each_epoch(trainer):
            return
        if self.interrupt.signal or trainer.global_step - self._saved >= self.every:
            self._save(trainer)
        self.interrupt.leave()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves between epochs that have data of their own, when it is time or the run is interrupted."""
        if collects_each_epoch(trainer):
            if self.interrupt.signal or trainer.global_step - self._saved >= self.every:
                self._save(trainer)
            self.interrupt.leave()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the end, so that a run killed while it exports need not train again."""
        if not collects_each_epoch(trainer):
            self._save(trainer)
        self.interrupt.defer = False
        self.interrupt.leave()

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Counts the epoch that has just ended as completed.

        Lightning does so only after this hook. A run continued from such a file would first ask for the data of the
        epoch that is over, throw them away and ask again: a whole round of searches, and another random stream.
        """
        if collects_each_epoch(trainer):
            progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]
            for count in (progress["current"], progress["total"]):
                count["completed"] = count["processed"]

    def state_dict(self) -> dict[str, Any]:
        """The random state."""
        return random_state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Sets the random state."""
        self._random = state_dict
        set_random_state(state_dict)

    def _save(self, trainer: L.Trainer) -> None:
        if trainer.global_step == self._saved:
            return
        require_finite(trainer.lightning_module, trainer.global_step)
        trainer.save_checkpoint(self.directory / f"step-{trainer.global_step:08d}{SUFFIX}")
        self._saved = trainer.global_step
        with disk_errors(self.directory):
            for old in sorted(self.directory.glob(f"step-*{SUFFIX}"))[:-KEEP]:
                old.unlink()


class FiniteLoss(Callback):
    """Stops at the first loss that is not a number, before it reaches the weights."""

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: torch.Tensor) -> None:
        """Looks at the loss.

        Raises:
            DivergedError: it is infinite or not a number.
        """
        if not torch.isfinite(loss.detach()).all():
            raise DivergedError(
                f"step {trainer.global_step}: the loss is {loss.detach().mean().item()}. "
                "Lower optimizer.lr, or raise optimizer.warmup_steps."
            )


def require_finite(module: torch.nn.Module, step: int) -> None:
    """Refuses weights that are not numbers.

    Raises:
        DivergedError: a parameter holds an infinity or not a number.
    """
    for name, parameter in module.named_parameters():
        if parameter.is_floating_point() and not torch.isfinite(parameter).all():
            raise DivergedError(f"step {step}: {name} is no longer finite. Lower optimizer.lr or optimizer.grad_clip.")


def random_state() -> dict[str, Any]:
    """The state of every random generator, as tensors and plain values."""
    version, numbers, gauss = random.getstate()
    state: Any = np.random.get_state(legacy=False)
    return {
        "python": [version, torch.tensor(numbers, dtype=torch.int64), gauss],
        "numpy": {
            "key": torch.from_numpy(state["state"]["key"].astype(np.int64)),
            "pos": int(state["state"]["pos"]),
            "has_gauss": int(state["has_gauss"]),
            "gauss": float(state["gauss"]),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Puts every random generator where `random_state` found it."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers.tolist()), gauss))
    saved = state["numpy"]
    key = saved["key"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", key, saved["pos"], saved["has_gauss"], saved["gauss"]))
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([part.cpu() for part in state["cuda"]])
