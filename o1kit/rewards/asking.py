"""`Asker`: puts questions about chains to a language model."""

from __future__ import annotations

from array import array
from dataclasses import replace
from hashlib import blake2b

from o1kit.decoding import Decoding
from o1kit.engines.policy import LanguagePolicy
from o1kit.errors import DataError, RewardFailure
from o1kit.functional.keys import derive
from o1kit.functional.preference import label_share
from o1kit.protocols import Span
from o1kit.types import Action, Problem, State


def problem_key(seed: int, problem: Problem) -> int:
    """A key of a problem's own."""
    return derive(seed, _number(problem.id.encode()))


def chain_key(seed: int, state: State) -> int:
    """A key of a chain's own: what is sampled about it depends on nothing else that is judged."""
    chain = array("i", state.token_ids[len(state.prompt_ids) :]).tobytes()
    return derive(problem_key(seed, state.problem), _number(chain))


def _number(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") >> 1


class Asker:
    """Replies of a language model, whose tokens count as those of judging.

    Args:
        policy: the model, with an engine and a ledger of its own, which charges to `score`.
        seed: what the noise of all replies is derived from.
    """

    def __init__(self, policy: LanguagePolicy, seed: int) -> None:
        self.policy, self.seed = policy, seed

    async def reply(self, state: State, prompt: str, key: int, max_tokens: int, decoding: Decoding) -> Action:
        """One reply to a prompt about a chain.

        Raises:
            RewardFailure: the prompt does not fit the model's context.
        """
        start = self.policy.start(replace(state.problem, prompt=prompt))
        try:
            (action,) = await self.policy.propose(
                start, 1, key=key, decoding=decoding, span=Span(max_tokens=max_tokens)
            )
        except DataError as error:
            raise RewardFailure(f"a question about a chain cannot be asked: {error}") from error
        return action

    async def share(self, state: State, prompt: str, good: str, bad: str, alternatives: int) -> float:
        """P(good) / (P(good) + P(bad)) of the reply's first token.

        Raises:
            RewardFailure: neither word is likely, or the prompt does not fit.
        """
        action = await self.reply(state, prompt, 0, 1, Decoding(greedy=True, alternatives=alternatives))
        likely = action.completion.alternatives[0] if action.completion.alternatives else ()
        share = label_share(((self.policy.text((token,)), logprob) for token, logprob in likely), good, bad)
        if share is None:
            raise RewardFailure(f"neither {good!r} nor {bad!r} is among the {len(likely)} likeliest replies")
        return share
