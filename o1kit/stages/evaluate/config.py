"""Recipe section of the evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from o1kit.config import Probability, StageName
from o1kit.rewards.config import JudgeConfig
from o1kit.search.config import SearchConfig
from o1kit.stages.config import StageConfig

OWN = "model"
"""What stands for the recipe's own model in a list of policies; no stage may have this name."""


class EvaluateConfig(StageConfig):
    """Accuracy of every policy with every search on every split, with intervals and token counts."""

    kind: Literal["evaluate"]
    """Selects this stage."""
    policies: list[StageName] = Field(min_length=1)
    """Stages whose models are compared, in the order of the table; `model` is the recipe's own, before any stage.

    With an `http` engine it is one: what the servers serve, be it the recipe's own model or a stage's folder.
    """
    judge: JudgeConfig | None = None
    """What judges steps, for searches that need it: the name of a `prm` stage, or a section."""
    searches: list[SearchConfig] = Field(min_length=1)
    """Searches to run with each policy. Searches that draw the same samples share them."""
    splits: list[str] = ["heldout"]
    """Splits to evaluate on."""
    max_failed_judgements: Probability = 0.02
    """Largest share of judgements that the reward may fail to make; each of them counts as 0."""
    ask: list[str] = []
    """Questions put to the last policy at the end, answered with their chain of thought."""
