"""`ConstitutionReward`: how many written principles a chain keeps to (Bai et al. 2022, arXiv 2212.08073)."""

from __future__ import annotations

import asyncio

from o1kit.decoding import Decoding
from o1kit.functional.keys import derive
from o1kit.functional.preference import YES_NO
from o1kit.functional.prompts import fill
from o1kit.rewards.asking import Asker, chain_key
from o1kit.rewards.base import ChainReward
from o1kit.rewards.config import ConstitutionConfig
from o1kit.types import State


class ConstitutionReward(ChainReward):
    """The mean probability, over the principles, that one is kept; asked after a written critique, if there is one."""

    name = "constitution"

    def __init__(self, config: ConstitutionConfig, asker: Asker) -> None:
        self.config, self.asker, self.level = config, asker, config.level
        self.engine = asker.policy.engine

    def refresh(self) -> None:
        """The model that is asked may be the policy."""
        self.engine.refresh()

    async def value(self, state: State) -> float:
        """The share of the principles kept."""
        kept = await asyncio.gather(*(self._kept(state, i) for i in range(len(self.config.principles))))
        return sum(kept) / len(kept)

    async def critique(self, state: State, number: int) -> str:
        """What the model says on one principle before it is asked; empty where it writes no critiques."""
        config = self.config
        if not config.critique_tokens:
            return ""
        texts = {"problem": state.problem.prompt, "chain": state.text, "principle": config.principles[number]}
        key = derive(chain_key(self.asker.seed, state), number)
        prompt = fill(config.critique_prompt, **texts)
        return (await self.asker.reply(state, prompt, key, config.critique_tokens, Decoding())).text.strip()

    async def _kept(self, state: State, number: int) -> float:
        config = self.config
        prompt = fill(
            config.prompt,
            problem=state.problem.prompt,
            chain=state.text,
            principle=config.principles[number],
            critique=await self.critique(state, number),
        )
        return await self.asker.share(state, prompt, *YES_NO, config.alternatives)
