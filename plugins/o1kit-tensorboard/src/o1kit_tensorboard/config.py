"""The recipe section of the tracker `tensorboard`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from o1kit.config import Count
from o1kit.tracking.config import TrackerSection


class TensorboardConfig(TrackerSection):
    """Writes the metrics of every stage as TensorBoard event files, each stage a run of its own in TensorBoard."""

    kind: Literal["tensorboard"]
    """Selects this tracker."""
    folder: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$", max_length=80)] = "tensorboard-logs"
    """Folder in that of the run, with one folder a stage; stages have no such names, their words are joined by `_`."""
    flush_s: Count = 30
    """Seconds after which what was logged is on the disk, at the latest."""
