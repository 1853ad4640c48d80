"""`SelfScoreReward`: a language model marks chains under MCTSr's constraints (arXiv 2406.07394)."""

from __future__ import annotations

import asyncio

from o1kit.decoding import Decoding
from o1kit.errors import RewardFailure
from o1kit.functional.keys import derive
from o1kit.functional.marks import as_share, read_mark
from o1kit.functional.prompts import fill
from o1kit.functional.refine import mctsr_q, suppressed
from o1kit.rewards.asking import Asker, chain_key
from o1kit.rewards.base import ChainReward
from o1kit.rewards.config import SelfScoreRewardConfig
from o1kit.types import State


class SelfScoreReward(ChainReward):
    """Marks from -100 to 100 with full marks suppressed; a chain is worth (min + mean) / 2 of its own, in [0, 1]."""

    name = "self_score"

    def __init__(self, config: SelfScoreRewardConfig, asker: Asker) -> None:
        self.config, self.asker, self.level = config, asker, config.level
        self.engine = asker.policy.engine

    def refresh(self) -> None:
        """The model that is asked may be the policy."""
        self.engine.refresh()

    async def value(self, state: State) -> float:
        """MCTSr's Q of the marks sampled for the chain, on the scale from 0 to 1."""
        key = chain_key(self.asker.seed, state)
        marks = await asyncio.gather(*(self._mark(state, derive(key, i)) for i in range(self.config.samples)))
        return as_share(mctsr_q(marks))

    async def _mark(self, state: State, key: int) -> float:
        config = self.config
        prompt = fill(config.prompt, problem=state.problem.prompt, answer=state.text)
        for attempt in range(config.retries + 1):
            decoding = Decoding(config.temperature)
            reply = await self.asker.reply(state, prompt, derive(key, attempt), config.max_tokens, decoding)
            mark = read_mark(reply.text)
            if mark is not None:
                return suppressed(mark, config.suppress_above, config.suppressed_score)
        raise RewardFailure(f"{config.retries + 1} replies hold no mark from -100 to 100")
