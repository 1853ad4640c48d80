"""Recipe sections of pair stages: where preference pairs come from."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from o1kit.config import SHARE, Config, Count, Probability, StageName
from o1kit.stages.config import StageConfig


class OutcomePairsConfig(Config):
    """Right chains against wrong ones of the same problem (O1-Journey, arXiv 2410.18982)."""

    kind: Literal["outcomes"]
    """Selects this source of pairs."""
    of: StageName
    """A `labels` stage whose chains were verified, or a `rollout` stage."""
    best: Count = 5
    """Right chains of a problem at most, those with the highest mean label first; equal chains count once."""
    worst: Count = 5
    """Wrong chains of a problem at most, those with the lowest mean label first."""


class TreePairsConfig(Config):
    """The best child of a node of a search tree against the worst: they share all that leads to it (Marco-o1 v2)."""

    kind: Literal["tree"]
    """Selects this source of pairs."""
    of: StageName
    """The `rollout` stage whose trees are read."""
    estimate: Literal["rest", "reach"] = "reach"
    """How steps are valued, as in `labels` with `source: {kind: tree}`."""
    min_gap: Annotated[float, Field(gt=0.0, le=1.0), SHARE] = 0.2
    """Smallest difference of the two values."""
    until: Literal["step", "end"] = "end"
    """`end`: both go on, by the best and the worst steps, to a right and to a wrong end; `step`: they end after the
    steps that differ."""
    max_pairs: Count = 8
    """Pairs of a tree at most, the largest differences first."""


class StepPairsConfig(Config):
    """A good against a bad next step after the same steps, as labelled (PRM800K's shape)."""

    kind: Literal["steps"]
    """Selects this source of pairs."""
    of: StageName
    """The `labels` stage."""
    threshold: Probability = 0.5
    """A label of at least this is a good step."""
    max_pairs: Count = 5
    """Pairs after the same steps at most, the largest differences first."""


class RevisionPairsConfig(Config):
    """Revised chains, each against the chain it is a revision of (Constitutional AI, arXiv 2212.08073)."""

    kind: Literal["revisions"]
    """Selects this source of pairs."""
    of: StageName
    """The `labels` stage with `source: {kind: revision}`."""
    keep: Literal["all", "right"] = "all"
    """`right`: only pairs whose revision has the right answer."""


PairSource = Annotated[
    OutcomePairsConfig | TreePairsConfig | StepPairsConfig | RevisionPairsConfig, Field(discriminator="kind")
]


class PairsConfig(StageConfig):
    """Writes preference pairs to `pairs.jsonl` (docs/labels.md); nothing is sampled or trained."""

    kind: Literal["pairs"]
    """Selects this stage."""
    policy: StageName | None = None
    """With a `rollout` stage: the policy it searched with, whose tokenizer makes the prompts."""
    source: PairSource
    """Where the pairs come from."""

    @model_validator(mode="after")
    def _trees_need_a_tokenizer(self) -> Self:
        if isinstance(self.source, TreePairsConfig) and self.policy is None:
            raise ValueError("`tree` needs `policy`: the one that the rollout stage searched with")
        if isinstance(self.source, StepPairsConfig) and self.policy is not None:
            raise ValueError("`steps` reads chains with their tokens. Leave `policy` out")
        return self
