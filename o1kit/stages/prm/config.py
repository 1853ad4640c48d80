"""Recipe section of process reward models."""

from __future__ import annotations

from typing import Literal

from o1kit.config import Count, StageName
from o1kit.stages.config import TrainingStageConfig
from o1kit.stages.labels.config import MonteCarloLabelsConfig


class PrmConfig(TrainingStageConfig):
    """A value in [0, 1] at the end of every step: the chance that the chain still ends in the right answer."""

    kind: Literal["prm"]
    """Selects this stage."""
    policy: StageName
    """Stage whose model writes the chains and gives the initial weights."""
    labels: MonteCarloLabelsConfig
    """Where the step labels come from."""
    steps: Count = 400
    """Optimizer steps."""
    batch_size: Count = 64
    """Chains a step."""
