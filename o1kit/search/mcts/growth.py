"""How a leaf grows: what is sampled from it, and what the judge says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from o1kit.decoding import Decoding
from o1kit.protocols import Policy, Span, StepReward
from o1kit.search.mcts.config import MctsConfig, TokensUnit
from o1kit.search.noise import derive
from o1kit.search.tree import Node, Rollout
from o1kit.types import Action, State, Usage


class Ask(NamedTuple):
    """Samples to draw from a leaf: how many, of which kind (where actions have types), with which key."""

    number: int
    key: int
    kind: str = ""


class Path(NamedTuple):
    """Steps that continue a leaf, the estimate after each, and the key they were sampled with."""

    actions: tuple[Action, ...]
    scores: tuple[float, ...]
    key: int


class Growth(NamedTuple):
    """What came of one leaf, and the tokens it took."""

    paths: tuple[Path, ...]
    usage: Usage


class Grower:
    """Samples and judges continuations of nodes; keeps nothing."""

    def __init__(self, config: MctsConfig, policy: Policy, reward: StepReward) -> None:
        self.config, self.policy, self.reward = config, policy, reward

    @property
    def decoding(self) -> Decoding:
        """How tokens are drawn."""
        return self.config.decoding

    async def grow(self, leaf: Node, asks: list[Ask]) -> Growth:
        """Judged continuations of a leaf, by a node or to the end; equal ones are judged once."""
        root = leaf.state
        groups = await asyncio.gather(*(self._sample(root, ask) for ask in asks))
        states = [state for group in groups for state in group]
        unique: dict[object, State] = {}
        for state in states:
            unique.setdefault(self._name(state, root), state)
        lines = await asyncio.gather(*(self._judge(state, len(root.actions)) for state in unique.values()))
        scores = dict(zip(unique, lines, strict=True))
        begun = len(root.actions)
        scored = self.scored(unique.values(), root)
        usage = Usage(generated=sum(generated(state, begun) for state in states), scored=scored)
        keys = [ask.key for ask, group in zip(asks, groups, strict=True) for _ in group]
        paths = (Path(s.actions[begun:], scores[self._name(s, root)], key) for s, key in zip(states, keys, strict=True))
        return Growth(tuple(paths), usage)

    async def _sample(self, root: State, ask: Ask) -> list[State]:
        if self.config.expand == "chain":
            return await self.policy.complete(root, ask.number, key=ask.key, decoding=self.decoding)
        policy, span = self.policy, self.span(ask.kind)
        if self.config.unit.kind == "actions":
            policy = policy.named(self.config.unit.actions[ask.kind].model or "")
        actions = await policy.propose(root, ask.number, key=ask.key, decoding=self.decoding, span=span)
        if ask.kind:
            actions = [replace(action, kind=ask.kind) for action in actions]
        return [root.after(action) for action in actions]

    def span(self, kind: str = "") -> Span:
        """How far one node goes, and what is put in before it."""
        unit = self.config.unit
        if unit.kind == "actions":
            action = unit.actions[kind]
            return Span(action.max_tokens, action.prefix, action.hint)
        return Span(unit.size) if isinstance(unit, TokensUnit) else Span()

    def scored(self, states: Iterable[State], root: State) -> int:
        """Tokens that the judge reads of continuations; none for confidence, which the samples have told already."""
        if self.config.leaf_value == "confidence":
            return 0
        return sum(len(state.token_ids) - len(root.token_ids) for state in states)

    async def _judge(self, state: State, done: int) -> tuple[float, ...]:
        """The estimate after each new step."""
        if len(state.actions) == done + 1:
            return ((await self.reward.score(state)).value,)
        return (await self.reward.step_scores(state))[done:]

    def identity(self, action: Action) -> tuple[object, ...]:
        """Equal for actions that are one node."""
        return identity(action, self.config.unit.kind == "tokens")

    def _name(self, state: State, root: State) -> tuple[object, ...]:
        """Equal for continuations that are the same nodes."""
        return tuple(map(self.identity, state.actions[len(root.actions) :]))

    # ---- rollouts ------------------------------------------------------------------------------------------------

    async def roll(self, node: Node, key: int) -> tuple[Rollout, Usage]:
        """One plain continuation of a node, to the end or for so many steps, with the scores of all its steps."""
        assert self.config.rollout is not None
        begun, state = len(node.state.actions), node.state
        if self.config.rollout.max_steps == 0:
            (state,) = await self.policy.complete(state, 1, key=key, decoding=self.decoding)
        else:
            for i in range(self.config.rollout.max_steps):
                if state.terminal:
                    break
                asked = Ask(1, derive(key, i), self._kind(state))
                (state,) = await self._sample(state, asked)
        scores = await self.reward.step_scores(state)
        scored = self.scored([state], node.state)
        return Rollout(state, scores, self.policy.answer(state)), Usage(
            generated=generated(state, begun), scored=scored
        )

    def _kind(self, state: State) -> str:
        """The first kind that may follow, where actions have types."""
        unit = self.config.unit
        if unit.kind != "actions":
            return ""
        return next(iter(unit.following(state.actions[-1].kind if state.actions else "")))


def generated(state: State, begun: int) -> int:
    """Tokens that were sampled after the first `begun` actions."""
    return sum(len(a.completion.token_ids) - a.completion.given for a in state.actions[begun:])


def asks_of(kinds: Mapping[str, int], key: int) -> list[Ask]:
    """Samples of several kinds, each with a key of its own."""
    return [Ask(count, derive(key, i), kind) for i, (kind, count) in enumerate(kinds.items())]


def identity(action: Action, by_tokens: bool = False) -> tuple[object, ...]:
    """Equal for actions that are one node: they say the same, and both end the chain or neither does.

    Pieces that may end inside a character or a word are told apart by their tokens.
    """
    ends = action.completion.finish != "step"
    tokens = action.completion.token_ids if by_tokens or "\ufffd" in action.text else ()
    return action.kind, action.text, ends, tokens
