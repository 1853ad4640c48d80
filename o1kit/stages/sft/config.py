"""Recipe section of supervised fine-tuning."""

from typing import Literal

from o1kit.config import Config, Count, Probability, StageName, Steps
from o1kit.stages.config import TrainingStageConfig


class MistakesConfig(Config):
    """How often a teacher's step goes wrong: journey learning shows the error, its discovery and the repair."""

    noticed: Probability = 0.15
    """Share of chains with a mistake that is then noticed and corrected."""
    unnoticed: Probability = 0.0
    """Share of chains with a mistake that stays and spoils the answer, as in scraped data."""


class SftConfig(TrainingStageConfig):
    """Next-token training on chains of thought; the prompt carries no loss."""

    kind: Literal["sft"]
    """Selects this stage."""
    policy: StageName | None = None
    """Stage whose model is trained further; null starts from the recipe's model."""
    steps: Steps = 2000
    """Optimizer steps."""
    batch_size: Count = 64
    """Sequences a step."""
    mistakes: MistakesConfig = MistakesConfig.model_construct()
    """Mistakes in the teacher's chains."""
