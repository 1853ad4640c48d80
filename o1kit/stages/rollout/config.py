"""Recipe section of rollouts."""

from typing import Literal

from o1kit.config import Count, Probability, StageName
from o1kit.rewards.config import JudgeConfig
from o1kit.search.config import SearchConfig
from o1kit.stages.config import StageConfig


class RolloutConfig(StageConfig):
    """Searches problems with a policy and writes down every tree and every finished chain; nothing is trained."""

    kind: Literal["rollout"]
    """Selects this stage."""
    policy: StageName
    """Stage whose model searches; `model` is the recipe's own, before any stage."""
    judge: JudgeConfig | None = None
    """What judges steps, if the search asks for it: the name of a `prm` stage, or a section."""
    split: str = "train"
    """Split whose problems are searched."""
    search: SearchConfig
    """The search."""
    num_problems: Count | None = None
    """Only so many of the split's problems, the first ones; null: all."""
    samples: Count = 1
    """Searches a problem, each with a key of its own."""
    verify: bool = True
    """Marks the chains with the task's own verifier, after the search."""
    max_failed_judgements: Probability = 0.02
    """Largest share of judgements that the reward may fail to make; each of them counts as 0."""
