"""`RubricReward`: a language model judges chains by a written rubric."""

from __future__ import annotations

import asyncio

from o1kit.decoding import Decoding
from o1kit.errors import RewardFailure
from o1kit.functional.keys import derive
from o1kit.functional.marks import as_share, read_mark
from o1kit.functional.prompts import fill
from o1kit.rewards.asking import Asker, chain_key
from o1kit.rewards.base import ChainReward
from o1kit.rewards.config import JudgeRewardConfig, LabelReplyConfig, NumberReplyConfig
from o1kit.types import State


class RubricReward(ChainReward):
    """The probability of the good label, or a number of a scale, in [0, 1]."""

    name = "judge"

    def __init__(self, config: JudgeRewardConfig, asker: Asker) -> None:
        self.config, self.asker, self.level = config, asker, config.level
        self.engine = asker.policy.engine

    def refresh(self) -> None:
        """The model that is asked may be the policy."""
        self.engine.refresh()

    async def value(self, state: State) -> float:
        """What the judge says of the chain so far."""
        prompt, reply = fill(self.config.rubric, problem=state.problem.prompt, chain=state.text), self.config.reply
        if isinstance(reply, LabelReplyConfig):
            return await self.asker.share(state, prompt, reply.good, reply.bad, reply.alternatives)
        key = chain_key(self.asker.seed, state)
        said = (self._number(state, prompt, reply, derive(key, i)) for i in range(reply.samples))
        return sum(await asyncio.gather(*said)) / reply.samples

    async def _number(self, state: State, prompt: str, how: NumberReplyConfig, key: int) -> float:
        for attempt in range(how.retries + 1):
            decoding = Decoding(how.temperature)
            reply = await self.asker.reply(state, prompt, derive(key, attempt), how.max_tokens, decoding)
            mark = read_mark(reply.text, how.low, how.high)
            if mark is not None:
                return as_share(mark, how.low, how.high)
        raise RewardFailure(f"{how.retries + 1} replies hold no number from {how.low:g} to {how.high:g}")
