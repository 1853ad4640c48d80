"""Recipe sections of the rewards that PPO learns from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from o1kit.config import Config, Positive, StageName


class VerifierConfig(Config):
    """1 at the end of a chain whose answer the task's own scorer accepts, else 0. Uses the ground truth."""

    kind: Literal["verifier"]
    """Selects this reward."""
    weight: Positive = 1.0
    """Factor in the sum of rewards."""


class PrmRewardConfig(Config):
    """Change of the process reward model's value from step to step (a potential, so its sum telescopes)."""

    kind: Literal["prm"]
    """Selects this reward."""
    model: StageName
    """The `prm` stage that trained it."""
    weight: Positive = 1.0
    """Factor in the sum of rewards."""


class MixtureConfig(Config):
    """Weighted sum of several rewards."""

    kind: Literal["mixture"]
    """Selects this reward."""
    of: list[Annotated[VerifierConfig | PrmRewardConfig, Field(discriminator="kind")]] = Field(min_length=1)
    """The rewards to add."""


RewardConfig = Annotated[VerifierConfig | PrmRewardConfig | MixtureConfig, Field(discriminator="kind")]
