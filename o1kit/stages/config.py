"""What every training stage's recipe section has in common."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from o1kit.config import Config, LearningRate, NonNegative, Positive, Probability, StageName, Steps, StepsOrZero
from o1kit.models.config import LoraConfig
from o1kit.reference import Reference


class StageConfig(Config):
    """Fields of every stage."""

    name: StageName
    """Name of the stage: its folder, and how other stages refer to it."""
    stands_for: ClassVar[str] = ""
    """For stages of plugins: the built-in kind whose place its result can take, for example `sft` for a policy."""

    def references(self) -> Sequence[Reference]:
        """For stages of plugins: the earlier stages that the section names. Their artifacts are what `build` gets."""
        return ()


class OptimizerConfig(Config):
    """AdamW, for hidden matrices also Muon, with linear warm-up and a cosine decay to `final_lr_fraction`."""

    lr: LearningRate = 1e-3
    """Peak learning rate."""
    muon_lr: LearningRate | None = None
    """Peak learning rate of Muon (Jordan et al. 2024) for the hidden matrices; null trains them with AdamW too."""
    weight_decay: NonNegative = 0.01
    """Decoupled weight decay of matrices."""
    betas: list[Probability] = Field(default=[0.9, 0.95], min_length=2, max_length=2)
    """Decay rates of the two moments."""
    warmup_steps: StepsOrZero = 50
    """Steps of linear warm-up."""
    final_lr_fraction: Probability = 0.1
    """Learning rate at the end, relative to the peak."""
    grad_clip: Positive = 1.0
    """Largest gradient norm."""


class TrainingStageConfig(StageConfig):
    """Fields of every stage that trains weights."""

    optimizer: OptimizerConfig = OptimizerConfig.model_construct()
    """How the weights are updated."""
    lora: LoraConfig | None = None
    """Train adapters only; null trains all weights."""
    checkpoint_every: Steps = 200
    """Optimizer steps between checkpoints that a killed run continues from."""
