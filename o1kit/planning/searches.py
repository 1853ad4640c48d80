"""How many tokens a search takes for one problem: counted from its section and the length of chains."""

from __future__ import annotations

from typing import Any, NamedTuple

from o1kit.planning.lengths import Lengths
from o1kit.search.config import BeamConfig, BestOfNConfig, CfrConfig, MctsConfig, SampleConfig, SelfRefineConfig

SHARED = 0.5
"""Part of a chain that a later simulation of whole chains finds in the tree already, on average."""
DIFFERENT = 0.6
"""Share of the tokens of samples that a reward model reads: equal chains, and beginnings, are read once."""


class Taken(NamedTuple):
    """Tokens for one problem."""

    generated: float
    """Drawn by the policy."""
    scored: float
    """Read by a reward model."""
    prompts: float
    """Read by the policy before it draws, what is cached left out."""
    chains: float
    """Finished chains that come out."""
    width: int
    """Sequences that are drawn at the same time."""


def taken_by(search: Any, lengths: Lengths, judged: bool) -> Taken:
    """What one search of one problem takes; `judged` if a reward model in this process scores chains.

    Samples that an evaluation shares between searches are counted anew here.
    """
    chain, generated, width = lengths.chain, lengths.chain, 1
    chains = 1.0
    if isinstance(search, SampleConfig | BestOfNConfig):
        width = search.num_samples
        generated, chains = width * chain, float(width)
    elif isinstance(search, BeamConfig):
        width = search.num_subtrees * search.num_beams * search.num_children
        generated, chains = width * chain, float(search.num_subtrees * search.num_beams)
    elif isinstance(search, MctsConfig):
        generated, chains, width = _tree(search, lengths)
    elif isinstance(search, SelfRefineConfig):
        generated, chains = _refined(search, lengths)
    elif isinstance(search, CfrConfig):
        width = int(getattr(search.mode, "num_children", getattr(search.mode, "num_samples", 4)))
        rounds = int(getattr(search.mode, "num_iterations", getattr(search.mode, "num_simulations", 8)))
        generated = width * chain * (1 + SHARED * min(rounds, 8))
        chains = float(width)
    budget = getattr(search, "token_budget", None)
    if budget is not None:
        generated = min(generated, budget + chain)
    wants = judged and getattr(search, "judge", None) == "judge"
    scored = DIFFERENT * chains * lengths.row if wants and isinstance(search, BestOfNConfig) else 0.0
    if wants and not isinstance(search, BestOfNConfig):
        scored = generated
    return Taken(generated, scored, lengths.prompt + SHARED * (chains - 1), chains, width)


def _tree(search: MctsConfig, lengths: Lengths) -> tuple[float, float, int]:
    """Generated tokens, finished chains and width of a tree search."""
    children, simulations = search.num_children, search.num_simulations
    if search.expand == "chain":
        generated = children * lengths.chain * (1 + SHARED * (simulations - 1))
        return generated, float(children), children
    size = float(getattr(search.unit, "size", 0) or lengths.chain / max(lengths.steps, 1.0))
    # No tree is larger than all of its chains; leaves that have ended are not expanded again.
    generated = min(simulations * children * size, simulations * lengths.chain * children)
    rollouts = simulations * lengths.chain * SHARED if getattr(search, "rollout", None) is not None else 0.0
    return generated + rollouts, max(1.0, generated / lengths.chain / 2), children


def _refined(search: SelfRefineConfig, lengths: Lengths) -> tuple[float, float]:
    """Generated tokens and answers of critique and rewrite."""
    algorithm = search.algorithm
    rounds = int(getattr(algorithm, "num_rollouts", 0) or getattr(algorithm, "max_nodes", 1))
    marks = float(getattr(algorithm.score, "max_tokens", 1)) * SHARED
    return lengths.chain + rounds * (search.critique_tokens * SHARED + lengths.chain + marks), float(rounds + 1)
