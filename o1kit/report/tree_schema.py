"""What files of search trees and of chains hold, field by field: the one place that says so.

`docs/trees.md` explains the format; `o1kit schema trees` and `o1kit schema chains` print it as JSON Schema.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from o1kit.config import Config, NonNegative, Probability

FORMAT = 1
Whole = Annotated[int, Field(ge=0)]
Likely = tuple[Whole, float | None]


class ProblemRecord(Config):
    """The problem as the policy saw it. The right answer is in no file of trees."""

    id: str
    """Its name within the recipe's problems."""
    task: str
    """Kind of problem."""
    prompt: str
    """Its text."""


class SearchRecord(Config):
    """The search that grew the tree."""

    title: str
    """What tables call it."""
    section: dict[str, Any]
    """Its section of the recipe, with all defaults."""


class UsageRecord(Config):
    """Tokens that the search took."""

    prompt: Whole = 0
    """Tokens of the prompt."""
    cached: Whole = 0
    """Tokens read from a cached prefix."""
    generated: Whole = 0
    """Tokens sampled."""
    scored: Whole = 0
    """Tokens that reward models read, cached or not."""


class NodeRecord(Config):
    """One node: the steps that lead to it from its parent, or a solution, and what the search knew about it."""

    id: Whole
    """Number of the node within its tree."""
    parent: Whole | None
    """Number of its parent, which comes earlier in the list; null for the root, the problem itself. A tree of whole
    solutions has no such root: the first solutions, one or more, have no parent."""
    text: str
    """Text of the steps from its parent to it, or of the whole solution; empty for the root."""
    visits: Whole
    """How often the search came through."""
    value: dict[str, float]
    """Mean of what was backed up through it (its own estimate before the first visit), under the name of what judged:
    the kind of the judge (`prm`, `judge`, `value_head`), or of a search that judges by itself. Empty where nothing
    judged."""
    prior: float
    """The policy's probability of the node among its siblings, as the search has seen it."""
    terminal: bool
    """True when the chain ends here."""
    kind: str | None = None
    """What the step does, where steps have types."""
    unit: str | None = None
    """What the node adds to its parent: a `step`, or a `chain` of several; or it is a `solution`, a whole chain that
    does not continue the parent's, or an `answer` that stands for all chains that state it."""
    token_ids: list[Whole] | None = None
    """Tokens from the parent to here."""
    logprobs: list[float | None] | None = None
    """Log-probability of each token in nats under the policy that sampled it, without temperature or truncation."""
    top: list[list[Likely]] | None = None
    """The likeliest tokens at each position, `[token id, log-probability]` each, if the search asked for them."""
    estimate: float | None = None
    """What judging the node itself said."""
    regret: float | None = None
    """Regret of not having gone here more often, for searches that compute it."""
    avg_strategy: Probability | None = None
    """Probability of the node among its siblings under the average strategy, for searches that compute it."""
    answer: str | None = None
    """The final answer that the chain states."""
    correct: bool | None = None
    """Whether a grader took that answer for right. It is set after the search and is part of no prompt; null without
    an answer, or where no grader was asked or could say."""
    outcome: Literal["ok", "error", "timeout"] = "ok"
    """`error` or `timeout` where the reward could not judge the node, so that it counted as 0."""
    given: Whole = 0
    """So many tokens at the start were put in by the search, not sampled."""
    policy_version: Whole | None = None
    """Rounds of PPO that the policy had been through."""
    seed: int | None = None
    """Key of the request that sampled the node, where the search tells."""


class TreeRecord(Config):
    """One search tree."""

    format: Literal[1] = 1
    """Version of this format."""
    recipe_hash: str
    """Hash of all in the recipe that the stage was computed from: the fingerprint that `o1kit plan` shows."""
    problem: ProblemRecord
    """What was to be solved."""
    search: SearchRecord
    """What grew the tree."""
    policy: str
    """Stage whose model sampled; `model` is the recipe's own."""
    split: str
    """Split that the problem is from."""
    seed: int
    """Seed of the stage."""
    key: int
    """Key of the search: with the same key it grows the same tree."""
    sample: Whole = 0
    """Which of several searches of the same problem this is."""
    usage: UsageRecord
    """What it cost."""
    answers: list[str | None]
    """What the search answers: one if it decides, several for plain samples."""
    stats: dict[str, float | None] = {}
    """What the search has to tell about itself."""
    nodes: list[NodeRecord] = Field(min_length=1)
    """The nodes, parents before their children."""

    @model_validator(mode="after")
    def _is_a_tree(self) -> TreeRecord:
        known: set[int] = set()
        for node in self.nodes:
            if node.id in known:
                raise ValueError(f"node {node.id} is there twice")
            if node.parent is not None and node.parent not in known:
                raise ValueError(f"node {node.id}: its parent {node.parent} is no earlier node")
            known.add(node.id)
        return self


class ChainRecord(Config):
    """One finished chain of a `rollout` stage."""

    format: Literal[1] = 1
    """Version of this format."""
    recipe_hash: str
    """Hash of all in the recipe that the stage was computed from."""
    problem: str
    """Name of the problem."""
    task: str
    """Kind of problem."""
    prompt: str
    """The problem's text."""
    sample: Whole = 0
    """Which of several searches of the same problem found it."""
    text: str
    """The chain of thought, without the prompt."""
    steps: list[str]
    """The same, step by step."""
    answer: str | None
    """The final answer it states."""
    score: float | None
    """What the search made of the reward's judgements; null where nothing judged."""
    step_scores: list[float] = []
    """What the reward said after each step."""
    visits: Whole
    """How often the search came to the chain."""
    prior: NonNegative
    """The policy's probability of the chain among what the search has seen."""
    correct: bool | None = None
    """Whether the verifier took the answer for right; null if it was not asked, or could not say."""
    chosen: bool
    """Whether the search answers what this chain does."""
    tokens: Whole
    """Tokens of the chain."""
    usage: UsageRecord
    """What the whole search cost that found it."""
