"""The recipe section of the search `rebase`: read without torch."""

from __future__ import annotations

from typing import Literal

from o1kit.config import Count, Positive
from o1kit.search.section import Aggregate, JudgedConfig, titled


class RebaseConfig(JudgedConfig):
    """Reward balanced search (REBASE, Wu et al. 2024, arXiv 2408.00724).

    A tree grows by rounds. Each round has as many samples as chains are still wanted, and shares them among the
    unfinished chains by a softmax of their rewards; a chain that gets none is given up. With a `token_budget` no round
    begins once it is spent, and the best chain is completed if none has ended: it is exceeded by less than a round, or
    that and one completion.
    """

    kind: Literal["rebase"]
    """Selects this search."""
    num_samples: Count = 8
    """Finished chains wanted (the paper's width N); also the samples of the first round."""
    balance_temperature: Positive = 0.2
    """Divides the rewards in the softmax: near 0 the best chain gets all samples, at large values all get as many."""
    max_steps: Count = 32
    """Deepest chain, in steps; what has not ended then is completed without a search."""
    select: Literal["majority", "best", "weighted"] = "weighted"
    """How one answer is chosen from the finished chains."""
    aggregate: Aggregate = "last"
    """How the scores of a chain's steps become its reward; the paper takes that of the last step."""

    @property
    def title(self) -> str:
        """For example `rebase@8 (weighted)`, or `rebase@8 (weighted) (balance 0.1)`."""
        details = [self.aggregate] if self.aggregate != "last" else []
        details += [f"balance {self.balance_temperature:g}"] if self.balance_temperature != 0.2 else []
        details += [f"{self.max_steps} steps"] if self.max_steps != 32 else []
        judged = "" if self.scored_by == "judge" else f" {self.scored_by}"
        return titled(f"rebase@{self.num_samples}{judged} ({self.select})", (*details, *self.unusual))
