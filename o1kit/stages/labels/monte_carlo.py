"""Step labels by completing every prefix of sampled chains (Math-Shepherd, arXiv 2312.08935)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from o1kit.functional.keys import derive
from o1kit.report.label_schema import LabelRecord
from o1kit.stages.labels.config import MonteCarloLabelsConfig
from o1kit.stages.labels.desk import Desk, end_record, is_right, mean_of, record_of
from o1kit.types import Problem, State


class Drawn(NamedTuple):
    """A chain, the tokens generated for it, and completions of each of its prefixes."""

    state: State
    tokens: int
    tried: list[tuple[State, list[State]]]


class MonteCarlo:
    """Samples chains of a problem and labels each step by what its completions reach.

    The completions cost most of the tokens and end in verified answers, so they are records too, with one label at
    their end. `stats` stays empty.
    """

    def __init__(self, config: MonteCarloLabelsConfig, desk: Desk) -> None:
        self.config, self.desk = config, desk
        self.stats: Counter[str] = Counter()
        self.provenance = desk.provenance(config)

    async def label(self, index: int, problem: Problem) -> list[LabelRecord]:
        """The problem's chains, each followed by the completions of its prefixes."""
        return await self.records(await self.draw(index, problem))

    async def draw(self, index: int, problem: Problem) -> list[Drawn]:
        """The chains and completions: all that the policy is asked for. No verdict decides what is drawn."""
        key = derive(self.desk.seed, index)
        root = self.desk.policy.start(problem)
        decoding = self.config.decoding
        states = await self.desk.policy.complete(root, self.config.chains, key=key, decoding=decoding)
        unique = {state.token_ids: state for state in states}
        tokens = dict.fromkeys(unique, 0)
        for state in states:
            tokens[state.token_ids] += len(state.token_ids) - len(root.token_ids)
        chains = enumerate(unique.values(), 1)
        return list(await asyncio.gather(*(self._chain(s, derive(key, n), tokens[s.token_ids]) for n, s in chains)))

    async def _chain(self, state: State, key: int, tokens: int) -> Drawn:
        many = len(state.actions) if self.config.completions else 0
        prefixes = [State(state.problem, state.prompt_ids, state.actions[:k]) for k in range(1, many)]
        tried = await asyncio.gather(
            *(
                self.desk.policy.complete(
                    prefix, self.config.completions, key=derive(key, k), decoding=self.config.decoding
                )
                for k, prefix in enumerate(prefixes)
            )
        )
        return Drawn(state, tokens, list(zip(prefixes, tried, strict=True)))

    async def records(self, drawn: list[Drawn]) -> list[LabelRecord]:
        """Every chain with a label for every step, then its completions, whose ends are known as well."""
        return [record for chain in drawn for record in await self._judged(chain)]

    async def _judged(self, chain: Drawn) -> list[LabelRecord]:
        last = await self.desk.mark(chain.state)
        if not self.config.completions:
            return [end_record(chain.state, last, chain.tokens, self.provenance)]
        marks = await asyncio.gather(*(asyncio.gather(*map(self.desk.mark, states)) for _, states in chain.tried))
        labels = [*map(self._estimate, marks), last]
        records = [record_of(chain.state, labels, is_right(last), chain.tokens, self.provenance)]
        for (prefix, states), verdicts in zip(chain.tried, marks, strict=True):
            start = len(prefix.token_ids)
            for end, mark in zip(states, verdicts, strict=True):
                records.append(end_record(end, mark, len(end.token_ids) - start, self.provenance))
        return records

    def _estimate(self, marks: Sequence[float | None]) -> float | None:
        """Share of completions that end right, or whether any does; None where none could be judged."""
        share = mean_of(marks)
        return share if share is None or self.config.estimate == "soft" else float(share > 0)
