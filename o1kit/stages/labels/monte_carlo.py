"""Step labels by completing every prefix of sampled chains (Math-Shepherd, arXiv 2312.08935)."""

from __future__ import annotations

import asyncio
from collections import Counter

from o1kit.functional.keys import derive
from o1kit.report.label_schema import LabelRecord
from o1kit.stages.labels.config import MonteCarloLabelsConfig
from o1kit.stages.labels.desk import Desk, end_record, record_of
from o1kit.types import Problem, State


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
        key = derive(self.desk.seed, index)
        root = self.desk.policy.start(problem)
        decoding = self.config.decoding
        states = await self.desk.policy.complete(root, self.config.chains, key=key, decoding=decoding)
        unique = {state.token_ids: state for state in states}
        tokens = dict.fromkeys(unique, 0)
        for state in states:
            tokens[state.token_ids] += len(state.token_ids) - len(root.token_ids)
        work = (
            self._chain(state, derive(key, n), tokens[state.token_ids]) for n, state in enumerate(unique.values(), 1)
        )
        return [record for records in await asyncio.gather(*work) for record in records]

    async def _chain(self, state: State, key: int, tokens: int) -> list[LabelRecord]:
        """The chain with a label for every step, then its completions, whose ends are known as well."""
        if not self.config.completions:
            return [end_record(state, await self.desk.mark(state), tokens, self.provenance)]
        prefixes = [State(state.problem, state.prompt_ids, state.actions[:k]) for k in range(1, len(state.actions))]
        tried = await asyncio.gather(*(self._try(prefix, derive(key, k)) for k, prefix in enumerate(prefixes)))
        last = await self.desk.mark(state)
        labels = [*(self._estimate(marks) for _, marks in tried), last]
        records = [record_of(state, labels, last > 0, tokens, self.provenance)]
        for prefix, (states, marks) in zip(prefixes, tried, strict=True):
            start = len(prefix.token_ids)
            for end, mark in zip(states, marks, strict=True):
                records.append(end_record(end, mark, len(end.token_ids) - start, self.provenance))
        return records

    async def _try(self, prefix: State, key: int) -> tuple[list[State], list[float]]:
        """Completions of a prefix and whether each is right."""
        config = self.config
        states = await self.desk.policy.complete(prefix, config.completions, key=key, decoding=config.decoding)
        return states, list(await asyncio.gather(*map(self.desk.mark, states)))

    def _estimate(self, marks: list[float]) -> float:
        """Share of completions that end right, or whether any does."""
        return sum(marks) / len(marks) if self.config.estimate == "soft" else float(sum(marks) > 0)
