"""The immutable values that every part of o1kit exchanges: no behaviour, no torch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

Finish = Literal["step", "answer", "length", "context"]
"""Why a completion ended: a step delimiter, the end-of-text token, its own token limit, or the model's context."""
Phase = Literal["select", "expand", "simulate", "score"]
"""What a search spends tokens on: choosing a node, making its children, going on to the end, judging."""
READING: ContextVar[Any] = ContextVar("reading", default=None)
"""The `ledger.Reading` that the tokens of judgements belong to which are asked for now; None for none."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A question as the policy may see it. It carries no answer: see `GroundTruth`."""

    id: str
    task: str
    prompt: str
    alike: Callable[[str], Hashable] | None = field(default=None, compare=False, repr=False)
    """What equal answers to it have in common, by which they vote together; None: their text."""


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """What a verifier needs to judge a problem. Prompt builders never receive it, and its repr hides the answer."""

    problem_id: str
    answer: str = field(repr=False)
    payload: Mapping[str, object] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine returns for one sample: token ids with the untempered log-probability (nats) of each.

    `values` holds the value head's estimate *before* each token (the state it was sampled in), if there is a head;
    `alternatives` the likeliest tokens at each position with their log-probabilities, if they were asked for.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish
    values: tuple[float, ...] = ()
    alternatives: tuple[tuple[tuple[int, float], ...], ...] = ()
    given: int = 0
    """So many tokens at the start were put in by the search, not sampled: nothing is learned from them."""


@dataclass(frozen=True, slots=True)
class Action:
    """One reasoning step: its text and the completion that produced it; `kind` where steps have types."""

    text: str
    completion: Completion
    kind: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """A problem and the steps taken so far; `terminal` once the chain has ended."""

    problem: Problem
    prompt_ids: tuple[int, ...]
    actions: tuple[Action, ...] = ()

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Prompt and steps as one token sequence."""
        return self.prompt_ids + tuple(t for a in self.actions for t in a.completion.token_ids)

    @property
    def text(self) -> str:
        """The chain of thought so far, without the prompt."""
        return "".join(a.text for a in self.actions)

    def after(self, *actions: Action) -> State:
        """The state after some more steps."""
        return State(self.problem, self.prompt_ids, (*self.actions, *actions))

    @property
    def step_logprobs(self) -> tuple[tuple[float | None, ...], ...]:
        """For each step the untempered log-probability of each token, in nats; None for one that a search put in.

        Empty where the engine that sampled the steps does not tell them.
        """
        completions = [action.completion for action in self.actions]
        if any(len(c.logprobs) != len(c.token_ids) for c in completions):
            return ()
        return tuple((*(None,) * c.given, *c.logprobs[c.given :]) for c in completions)

    @property
    def terminal(self) -> bool:
        """True when no further step can follow."""
        return bool(self.actions) and self.actions[-1].completion.finish != "step"


@dataclass(frozen=True, slots=True)
class Score:
    """A judgement in [0, 1]. `oracle` is True when the ground truth was used; `outcome` says how it came about."""

    value: float
    source: str
    oracle: bool = False
    outcome: Literal["ok", "right", "wrong", "no_answer", "error", "timeout"] = "ok"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens an engine computed: newly encoded prompt, read from a cached prefix, generated, and scored.

    Of a search, `scored` are those that reward models read for it. Stages measure them (`ledger.reading`); what a
    search itself says of them is an estimate.
    """

    prompt: int = 0
    cached: int = 0
    generated: int = 0
    scored: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.generated + other.generated,
            self.scored + other.scored,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt - other.prompt,
            self.cached - other.cached,
            self.generated - other.generated,
            self.scored - other.scored,
        )


@dataclass(frozen=True, slots=True)
class Account:
    """Whom tokens are charged to: a problem, by id, and a phase of its search."""

    problem: str = ""
    phase: Phase = "simulate"
    reading: Any = field(default_factory=READING.get, compare=False, repr=False)
    """What a judgement's tokens are added up in besides: that of where the account was made."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A finished chain with what the search knew about it.

    `step_scores` are the reward model's values after each action, `score` their aggregate; `visits` counts how often
    the search came to the chain, and `prior` is the policy's probability of it among what the search has seen.
    """

    state: State
    answer: str | None
    score: float = 1.0
    step_scores: tuple[float, ...] = ()
    visits: int = 1
    prior: float = 1.0


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One node of a search tree, for reports: `value` is the mean of what was backed up through it.

    `token_ids`, `logprobs` (nats, untempered), `top` (the likeliest tokens at each position) and `given` are those of
    the steps that lead from its parent to the node.
    """

    id: int
    parent: int | None
    text: str
    visits: int
    value: float
    prior: float
    terminal: bool
    answer: str | None = None
    kind: str = ""
    """What its step does, where steps have types."""
    unit: str = ""
    """What it adds to its parent: a `step`, or a `chain` of several; or a `solution`, a whole chain of its own."""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    top: tuple[tuple[tuple[int, float], ...], ...] = ()
    given: int = 0
    source: str = ""
    """What its value comes from, if that is not the same for the whole tree."""
    estimate: float | None = None
    """What judging the node itself said, before anything was backed up."""
    seed: int | None = None
    """Key of the request that sampled it, where the search tells."""
    regret: float | None = None
    """Of not having taken this step more often, added up; None without regrets."""
    avg_strategy: float | None = None
    """Probability of this step at its parent under the average strategy; None without one."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found for one problem.

    `answers` are judged and their marks averaged: one for a search that decides, several for plain samples.
    """

    trajectories: tuple[Trajectory, ...]
    answers: tuple[str | None, ...]
    usage: Usage
    tree: tuple[TreeNode, ...] = ()
    stats: Mapping[str, float] = field(default_factory=dict)
    """What the search has to tell about itself: diversity, regret, why it stopped; means over problems are logged."""
