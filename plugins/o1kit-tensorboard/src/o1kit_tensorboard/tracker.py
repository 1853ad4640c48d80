"""The tracker: Lightning's own TensorBoard logger, with its files where a run's files belong."""

from __future__ import annotations

import time

from lightning.pytorch.loggers import TensorBoardLogger

from o1kit.protocols import TrackerContext
from o1kit_tensorboard.config import TensorboardConfig


def tensorboard(config: TensorboardConfig, context: TrackerContext) -> TensorBoardLogger:
    """A logger for one stage. A stage that is resumed adds another file, which TensorBoard shows as the same run."""
    return TensorBoardLogger(
        save_dir=context.run_directory,
        name=config.folder,
        version=context.stage,
        default_hp_metric=False,
        flush_secs=config.flush_s,
        # File names hold the second only: a stage that fails and is started again at once would overwrite its own.
        filename_suffix=f".{time.time_ns()}",
    )
