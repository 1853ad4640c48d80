"""Recipe section of process reward models."""

from __future__ import annotations

from typing import Literal

from o1kit.config import Config, Count, Positive, StageName
from o1kit.stages.config import TrainingStageConfig


class MonteCarloLabelsConfig(Config):
    """Step labels from completions of the policy (Math-Shepherd, arXiv 2312.08935)."""

    kind: Literal["monte_carlo"]
    """Selects this source of labels."""
    num_problems: Count = 512
    """Training problems to label."""
    chains: Count = 4
    """Chains sampled for each problem."""
    completions: Count = 4
    """Completions sampled from each prefix (N)."""
    estimate: Literal["hard", "soft"] = "soft"
    """`soft`: share of completions that reach the right answer; `hard`: 1 if any does."""
    temperature: Positive = 1.0
    """Divides the logits while sampling."""


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
