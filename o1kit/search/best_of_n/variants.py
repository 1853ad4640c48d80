"""How the samples of one problem are drawn: all alike, or in turn with several prompts, temperatures and models."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from itertools import product

from o1kit.decoding import Decoding
from o1kit.protocols import Policy
from o1kit.search.best_of_n.config import SLOT, BestOfNConfig
from o1kit.search.noise import derive
from o1kit.types import State


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to sample: who samples, after which prompt, how tokens are drawn, and the key of its noise."""

    policy: Policy
    root: State
    decoding: Decoding
    key: int

    async def draw(self, first: int, n: int) -> list[State]:
        """Samples number `first` and following."""
        return await self.policy.complete(self.root, n, key=self.key, decoding=self.decoding, first=first)


def variants(config: BestOfNConfig, root: State, policy: Policy, key: int) -> list[Variant]:
    """Every combination that the section lists, models changing fastest and temperatures slowest.

    The first has the search's own key, so where it is the plain one its samples are those of a search without
    diversity. Each of the others has another key: with equal noise the samples would be more alike than by chance.
    """
    listed = config.diversity
    if listed is None:
        return [Variant(policy, root, config.decoding, key)]
    temperatures, prompts = listed.temperatures or [config.temperature], listed.prompts or [SLOT]
    policies = [policy, *(policy.named(name) for name in listed.models)]
    roots = [prompted(root, text, policy) for text in prompts]
    return [
        Variant(one, start, replace(config.decoding, temperature=temperature), derive(key, i) if i else key)
        for i, (temperature, start, one) in enumerate(product(temperatures, roots, policies))
    ]


def prompted(root: State, text: str, policy: Policy) -> State:
    """The root with another prompt: the text, and the problem's own in it. The problem stays what it is."""
    if text == SLOT:
        return root
    asked = replace(root.problem, prompt=text.replace(SLOT, root.problem.prompt))
    return replace(root, prompt_ids=policy.start(asked).prompt_ids)


async def draw(ways: list[Variant], first: int, n: int) -> list[State]:
    """Samples number `first` and following: number i is the (i // V)th of variant i mod V, however many are drawn."""
    turns = [(i, len(range((i - first) % len(ways), n, len(ways)))) for i in range(len(ways))]
    begun = [len(range(i, first, len(ways))) for i in range(len(ways))]
    drawn = await asyncio.gather(*(ways[i].draw(begun[i], count) for i, count in turns if count))
    found = dict(zip((i for i, count in turns if count), map(iter, drawn), strict=True))
    return [next(found[i % len(ways)]) for i in range(first, first + n)]
