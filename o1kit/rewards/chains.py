"""`Chains`: how the chains of a policy look to a reward model, which may have another tokenizer, and marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from o1kit.engines.policy import PromptTemplate
from o1kit.engines.spelling import spell_steps
from o1kit.errors import RewardFailure
from o1kit.functional.surprise import NOTHING, Features, surprise, weighed
from o1kit.models.reading import Inner, Marked, marked
from o1kit.protocols import Engine
from o1kit.rewards.base import account
from o1kit.types import State


class Chains:
    """Chains as token sequences of a reward model.

    Args:
        mark: token put in after every step, at which the step is read; None: at the step's own last token. The
            policy's chain never holds it.
        own: the model's tokenizer where it is not the policy's: prompt and steps are then spelt anew from their texts,
            and a finished chain ends with that tokenizer's end-of-text.
        surprise: weights of the policy's surprise at its chain in the log-odds; empty if it is not read.
        inner: how steps before the chain's end are read, where that is another way than its end.
    """

    def __init__(
        self,
        mark: int | None = None,
        own: PromptTemplate | None = None,
        surprise: Sequence[float] = (),
        inner: Inner | None = None,
    ) -> None:
        self.mark, self.own, self.surprise = mark, own, surprise
        self.inner = inner or Inner(surprise=list(surprise))

    async def each(self, engine: Engine, state: State) -> list[float]:
        """The log-odds after each step.

        Raises:
            RewardFailure: the chain does not fit the model's context, or does not tell how probable its tokens were.
        """
        if not state.actions:
            return []
        features = self._features(state)
        raw = await read_at(engine, *self.read(state), state)
        last = len(raw) - 1
        return [
            self._judged(x, f, state.terminal and i == last) for i, (x, f) in enumerate(zip(raw, features, strict=True))
        ]

    async def last(self, engine: Engine, state: State) -> float:
        """The log-odds after the last step, or after the prompt of a chain without steps.

        Raises:
            RewardFailure: as with `each`.
        """
        features = self._features(state)
        tokens, positions = self.read(state)
        (raw,) = await read_at(engine, tokens, positions[-1:], state)
        return self._judged(raw, features[-1], state.terminal)

    def _judged(self, raw: float, features: Features, end: bool) -> float:
        """Log-odds: what the model says, and what surprise adds where it is read."""
        if not end:
            raw = raw * self.inner.scale + self.inner.bias
        weights = self.surprise if end else self.inner.surprise
        return raw + weighed(features, weights) if weights else raw

    def _features(self, state: State) -> list[Features]:
        """Surprise after each step (after the prompt of a chain without steps, where nothing surprised)."""
        steps = max(len(state.actions), 1)
        if not self.surprise:
            return [NOTHING] * steps
        if not state.actions:
            return surprise([()])
        logprobs = state.step_logprobs
        if len(logprobs) != steps:
            raise RewardFailure(
                "the reward model reads how probable a chain's tokens were, and these chains do not tell. Sample with "
                "an engine that reports log-probabilities, or train the reward model without `reading.surprise`"
            )
        return surprise(logprobs)

    def read(self, state: State) -> Marked:
        """The chain, and where each step is read; for a chain without steps where its prompt ends."""
        if self.own is None:
            prompt, steps = state.prompt_ids, [action.completion.token_ids for action in state.actions]
        else:
            prompt, steps = tuple(self.own.prompt(state.problem)), self._spelt(self.own, state)
        if not steps:
            tokens = prompt if self.mark is None else (*prompt, self.mark)
            return Marked(tokens, (len(tokens) - 1,))
        return marked(prompt, steps, self.mark)

    @staticmethod
    def _spelt(own: PromptTemplate, state: State) -> list[tuple[int, ...]]:
        steps = [tuple(ids) for ids in spell_steps(own, [action.text for action in state.actions])[0]]
        if state.actions[-1:] and state.actions[-1].completion.finish == "answer":
            steps[-1] = (*steps[-1], own.eos_id)
        return steps


def same_tokens(one: Any, other: Any) -> bool:
    """True when token ids mean the same to two tokenizers, and both put a problem in the same words."""
    if one is other:
        return True
    templates = (getattr(tokenizer, "chat_template", None) for tokenizer in (one, other))
    return (
        one.get_vocab() == other.get_vocab()
        and one.eos_token_id == other.eos_token_id
        and len({str(template) for template in templates}) == 1
    )


async def read_at(engine: Engine, tokens: tuple[int, ...], positions: tuple[int, ...], state: State) -> list[float]:
    """The model's raw output (log-odds) at some positions.

    Raises:
        RewardFailure: the sequence does not fit the model's context.
    """
    if len(tokens) > engine.context_length:
        raise RewardFailure(
            f"a chain has {len(tokens)} tokens for the reward model, and its context holds {engine.context_length}"
        )
    return await engine.score(tokens, positions, account(state))
