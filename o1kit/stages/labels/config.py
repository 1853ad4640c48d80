"""Recipe sections of the sources of step labels."""

from __future__ import annotations

from typing import Literal

from o1kit.config import Config, Count, Positive
from o1kit.protocols import Decoding


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

    @property
    def decoding(self) -> Decoding:
        """How chains and completions are drawn."""
        return Decoding(self.temperature)
