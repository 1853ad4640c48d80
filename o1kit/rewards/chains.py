"""`Chains`: how the chains of a policy look to a reward model, which may have another tokenizer, and marks."""

from __future__ import annotations

from typing import Any

from o1kit.engines.policy import PromptTemplate
from o1kit.errors import RewardFailure
from o1kit.models.reading import Marked, marked
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
    """

    def __init__(self, mark: int | None = None, own: PromptTemplate | None = None) -> None:
        self.mark, self.own = mark, own

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
        steps = [tuple(own.encode(action.text)) for action in state.actions]
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
