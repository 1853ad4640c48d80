"""Recipe sections of the searches."""

from typing import Annotated, Literal

from o1kit.config import Count
from o1kit.kinds import Kinds
from o1kit.search.best_of_n.config import BestOfNConfig
from o1kit.search.cfr.config import CfrConfig
from o1kit.search.mcts.config import MctsConfig
from o1kit.search.section import Aggregate, DecodingConfig, JudgedConfig, SearchSection, Share, titled
from o1kit.search.self_refine.config import SelfRefineConfig

__all__ = [
    "BeamConfig",
    "BestOfNConfig",
    "CfrConfig",
    "GreedyConfig",
    "MctsConfig",
    "SampleConfig",
    "SearchConfig",
    "SearchSection",
    "SelfRefineConfig",
]


class GreedyConfig(SearchSection):
    """One chain, the most probable token at each position."""

    kind: Literal["greedy"]
    """Selects this search."""

    @property
    def title(self) -> str:
        """Its name."""
        return "greedy"


class SampleConfig(DecodingConfig):
    """Independent samples; the reported accuracy is their mean, an estimate of pass@1."""

    kind: Literal["sample"]
    """Selects this search."""
    num_samples: Count = 1
    """Samples a problem."""

    @property
    def title(self) -> str:
        """What it estimates."""
        return self.at(1)

    @property
    def bound(self) -> str | None:
        """For example `pass@8`."""
        return self.at(self.num_samples) if self.num_samples > 1 else None

    def at(self, k: int) -> str:
        """What the chance is called that one of k samples is right."""
        return titled(f"pass@{k}", self.unusual)


class BeamConfig(JudgedConfig):
    """Beam search over steps; with several subtrees diverse verifier tree search (DVTS, Beeching et al. 2024).

    Each subtree gets an equal part of `token_budget`, and begins no round once it has spent it. Chains that have not
    ended by then are given up; if none has ended at all, the best one is completed. So the budget is exceeded by at
    most one round of each subtree, or that and one completion.
    """

    kind: Literal["beam"]
    """Selects this search."""
    num_beams: Count = 4
    """Chains kept after each step, in each subtree."""
    num_children: Count = 4
    """Next steps sampled for each chain kept; equal ones are merged."""
    num_subtrees: Count = 1
    """Beam searches that do not see each other; with `num_beams: 1` and several of them this is DVTS."""
    accept: Share | None = None
    """Share of what a chain was worth (1 before the first step) that a next step must keep to be good enough. Steps are
    then sampled one by one, until one is (at the start one for each beam) or `num_children` are drawn, so tokens go to
    the steps that are hard; it takes a judge that knows good steps. null: all at once."""
    max_steps: Count = 32
    """Deepest chain, in steps; what has not ended then is completed without a search."""
    select: Literal["majority", "best", "weighted"] = "best"
    """How one answer is chosen from the finished chains."""
    aggregate: Aggregate = "min"
    """How the scores of a chain's steps become the number that beams compete with."""

    @property
    def title(self) -> str:
        """For example `dvts 4x1x4 (best)`, or `beam 4x4 (best) (prod, 500 tokens)`."""
        shape = f"{self.num_beams}x{self.num_children}"
        name = f"beam {shape}" if self.num_subtrees == 1 else f"dvts {self.num_subtrees}x{shape}"
        aggregate = () if self.aggregate == "min" else (self.aggregate,)
        accept = () if self.accept is None else (f"accept {self.accept:g}",)
        judged = "" if self.scored_by == "judge" else f" {self.scored_by}"
        return titled(f"{name}{judged} ({self.select})", (*accept, *aggregate, *self.unusual))


SearchConfig = Annotated[
    GreedyConfig | SampleConfig | BestOfNConfig | BeamConfig | MctsConfig | SelfRefineConfig | CfrConfig,
    Kinds("searches"),
]
