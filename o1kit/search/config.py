"""Recipe sections of the searches."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from o1kit.config import Config, Count, NonNegative, Positive, Probability
from o1kit.protocols import Decoding

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class DecodingConfig(Config):
    """How tokens are drawn. What PPO learns from is always the untempered, untruncated distribution."""

    temperature: Positive = 1.0
    """Divides the logits."""
    top_k: int = Field(default=0, ge=0)
    """Draws only from so many of the likeliest tokens; 0: from all."""
    top_p: Share = 1.0
    """Draws only from the fewest tokens whose probabilities reach this sum; 1: from all."""
    min_p: Probability = 0.0
    """Draws only from tokens with at least this share of the likeliest token's probability; 0: from all."""

    @property
    def decoding(self) -> Decoding:
        """The same for an engine."""
        return Decoding(self.temperature, self.top_k, self.top_p, self.min_p)


class GreedyConfig(Config):
    """One chain, the most probable token at each position."""

    kind: Literal["greedy"]
    """Selects this search."""


class SampleConfig(DecodingConfig):
    """Independent samples; the reported accuracy is their mean, an estimate of pass@1."""

    kind: Literal["sample"]
    """Selects this search."""
    num_samples: Count = 1
    """Samples a problem."""


class BestOfNConfig(DecodingConfig):
    """N samples, one answer: by majority, by the reward's best chain, or by a vote weighted with the reward."""

    kind: Literal["best_of_n"]
    """Selects this search."""
    num_samples: Count = 8
    """Samples a problem (N)."""
    select: Literal["majority", "best", "weighted"] = "weighted"
    """How one answer is chosen from the N."""
    aggregate: Literal["min", "prod", "last", "mean", "geometric_mean", "max"] = "min"
    """How the scores of a chain's steps become one number."""


class BeamConfig(DecodingConfig):
    """Beam search over steps; with several subtrees diverse verifier tree search (DVTS, Beeching et al. 2024)."""

    kind: Literal["beam"]
    """Selects this search."""
    num_beams: Count = 4
    """Chains kept after each step, in each subtree."""
    num_children: Count = 4
    """Next steps sampled for each chain kept; equal ones are merged."""
    num_subtrees: Count = 1
    """Beam searches that do not see each other; with `num_beams: 1` and several of them this is DVTS."""
    max_steps: Count = 32
    """Deepest chain, in steps; what has not ended then is completed without a search."""
    select: Literal["majority", "best", "weighted"] = "best"
    """How one answer is chosen from the finished chains."""
    aggregate: Literal["min", "prod", "last", "mean", "geometric_mean", "max"] = "min"
    """How the scores of a chain's steps become the number that beams compete with."""


class MctsConfig(DecodingConfig):
    """Step-level Monte Carlo tree search with PUCT selection (Silver et al. 2017; AlphaZero's pb_c schedule)."""

    kind: Literal["mcts"]
    """Selects this search."""
    num_simulations: Count = 16
    """Leaf expansions a problem."""
    num_children: Count = 3
    """Samples made when a node is expanded; equal steps are merged and their priors added."""
    expand: Literal["step", "chain"] = "step"
    """`step` samples one step a child; `chain` goes on to the end, so that every simulation finishes chains."""
    c_puct: NonNegative = 1.25
    """Exploration constant."""
    leaf_value: Literal["prm", "value_head"] = "prm"
    """What estimates a new leaf: the process reward model, or the policy's own value head."""
    leaves_per_batch: Count = 4
    """Leaves selected (under virtual loss) before any of them is evaluated."""
    max_steps: Count = 32
    """Deepest chain, in steps."""
    select: Literal["visits", "best", "weighted"] = "weighted"
    """How one answer is chosen from the finished chains."""
    aggregate: Literal["min", "prod", "last", "mean", "geometric_mean", "max"] = "min"
    """How the scores of a chain's steps become one number, for `best` and `weighted`."""
    root_noise: Probability = 0.0
    """Share of Dirichlet(0.3) noise in the root's priors."""


SearchConfig = Annotated[
    GreedyConfig | SampleConfig | BestOfNConfig | BeamConfig | MctsConfig, Field(discriminator="kind")
]
