"""Step labels found by searching wrong rollouts for their first error (OmegaPRM, arXiv 2406.06592)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import fmean

from o1kit.functional.keys import derive
from o1kit.functional.omega import omega_q, omega_u
from o1kit.report.label_schema import LabelRecord
from o1kit.stages.labels.config import OmegaLabelsConfig
from o1kit.stages.labels.desk import Desk, end_record, is_right, mean_of, record_of
from o1kit.types import Problem, State


class Omega:
    """Labels one problem at a time; `stats` counts mixed problems, rollouts searched and prefixes tried."""

    def __init__(self, config: OmegaLabelsConfig, desk: Desk) -> None:
        self.config, self.desk = config, desk
        self.stats: Counter[str] = Counter(mixed=0, searches=0, probes=0)
        self.provenance = desk.provenance(config)

    async def label(self, index: int, problem: Problem) -> list[LabelRecord]:
        """The problem's rollouts: the verdict at the end of each, and labels where a search has tried prefixes.

        A prefix that several rollouts begin with is labelled in one of them only, so that none counts twice. A chain
        that was drawn again is a record again, with the label of its end: how often it comes is worth knowing.
        """
        search = _Search(self.config, self.desk, derive(self.desk.seed, index))
        root = await search.try_prefix(self.desk.policy.start(problem), self.config.rollouts)
        mixed = 0 < root.value < 1
        self.stats["mixed"] += mixed
        if not mixed and self.config.keep == "mixed":
            return []
        await search.run()
        self.stats["searches"] += search.searched
        self.stats["probes"] += len(search.prefixes) - 1
        if self.config.labels == "implied":
            search.imply()
        elif self.config.labels == "passing":
            search.count_passing()
        return [record for rollout in search.rollouts.values() for record in self._records(rollout)]

    def _records(self, rollout: _Rollout) -> Iterator[LabelRecord]:
        first, *again = rollout.tokens
        labels = [rollout.labels.get(k) for k in range(1, len(rollout.state.actions))]
        yield record_of(rollout.state, [*labels, rollout.mark], is_right(rollout.mark), first, self.provenance)
        for tokens in again:
            yield end_record(rollout.state, rollout.mark, tokens, self.provenance)


@dataclass(eq=False)
class _Prefix:
    """A prefix that was tried: the share of its rollouts that are right, and how often one of them was searched."""

    state: State
    value: float = 0.0
    known: bool = True
    """Whether any of its rollouts could be judged."""
    visits: int = 0


@dataclass(eq=False)
class _Rollout:
    """A finished chain with its verdict, the tokens generated each time it was drawn, and labels by number of steps."""

    state: State
    mark: float | None
    tokens: list[int] = field(default_factory=list)
    labels: dict[int, float] = field(default_factory=dict)
    right: int = 0
    """So many of its steps, at least, lead to a prefix that a right chain goes through."""
    wrong: int | None = None
    """After so many of its steps no completion ended right; None: it was not searched."""

    def prefix(self, steps: int) -> State:
        """The chain after some of its steps."""
        return State(self.state.problem, self.state.prompt_ids, self.state.actions[:steps])


@dataclass(eq=False)
class _Search:
    """The search of one problem: what was tried, what was sampled, and the wrong rollouts that wait."""

    config: OmegaLabelsConfig
    desk: Desk
    key: int
    prefixes: dict[tuple[int, ...], _Prefix] = field(default_factory=dict)
    rollouts: dict[tuple[int, ...], _Rollout] = field(default_factory=dict)
    pool: list[tuple[_Prefix, _Rollout]] = field(default_factory=list)
    searched: int = 0
    generated: int = 0

    async def run(self) -> None:
        """Searches one rollout after the other until none waits, or a budget is spent."""
        budget = self.config.token_budget
        while self.pool and self.searched < self.config.num_iterations:
            if budget is not None and self.generated >= budget:
                return
            chosen = max(range(len(self.pool)), key=lambda i: self._priority(*self.pool[i]))
            prefix, rollout = self.pool.pop(chosen)
            prefix.visits += 1
            self.searched += 1
            await self._find_error(prefix, rollout)

    async def try_prefix(self, state: State, count: int) -> _Prefix:
        """The prefix with a value from fresh rollouts; its wrong ones join the pool if others are right."""
        key, ends = derive(self.key, len(self.prefixes)), list[State]()
        marks: list[float | None] = []
        by_one = self.config.draw == "until_right" and bool(state.actions)  # of the problem all are wanted
        while len(ends) < count and not (by_one and any(map(is_right, marks))):
            n, first = (1, len(ends)) if by_one else (count, 0)
            ends += await self.desk.policy.complete(state, n, key=key, decoding=self.config.decoding, first=first)
            marks += await asyncio.gather(*map(self.desk.mark, ends[first:]))
        share = mean_of(marks)
        prefix = self.prefixes[state.token_ids] = _Prefix(state, share or 0.0, share is not None)
        new: list[_Rollout] = []
        for end, mark in zip(ends, marks, strict=True):
            if end.token_ids not in self.rollouts:
                new.append(self.rollouts.setdefault(end.token_ids, _Rollout(end, mark)))
            tokens = len(end.token_ids) - len(state.token_ids)
            self.rollouts[end.token_ids].tokens.append(tokens)
            self.generated += tokens
        hopeless = prefix.value == 0 and (bool(state.actions) or self.config.search == "mixed")
        if not hopeless:
            self.pool += [(prefix, rollout) for rollout in new if rollout.mark == 0]
        return prefix

    async def _find_error(self, prefix: _Prefix, rollout: _Rollout) -> None:
        """Halves the steps between a prefix that can end right and one that never does, until they are neighbours.

        It ends where no completion of a prefix could be judged.
        """
        right, wrong = len(prefix.state.actions), len(rollout.state.actions)
        while wrong - right > 1:
            middle = (right + wrong) // 2
            state = rollout.prefix(middle)
            tried = self.prefixes.get(state.token_ids)
            if tried is None:
                tried = await self.try_prefix(state, self.config.completions)
                soft = self.config.estimate == "soft"
                if tried.known:
                    rollout.labels[middle] = tried.value if soft else float(tried.value > 0)
            if not tried.known:
                break
            right, wrong = (middle, wrong) if tried.value > 0 else (right, middle)
        rollout.right, rollout.wrong = right, wrong

    def imply(self) -> None:
        """Labels what needs no rollouts of its own.

        Every prefix of a right chain has reached the right answer; what begins with a prefix that never does, never
        does either.
        """
        reached = {
            r.prefix(k).token_ids for r in self.rollouts.values() if r.mark for k in range(1, len(r.state.actions))
        }
        for rollout in self.rollouts.values():
            for k in rollout.labels:
                if rollout.prefix(k).token_ids in reached:  # though all of its own completions failed
                    rollout.labels[k] = 1.0
        known = {r.prefix(k).token_ids for r in self.rollouts.values() for k in r.labels}
        for rollout in self.rollouts.values():
            last = len(rollout.state.actions) - 1
            good = last if rollout.mark else rollout.right
            bad = last + 1 if rollout.wrong is None else rollout.wrong
            if rollout.prefix(bad).token_ids in reached:  # its completions were unlucky: what follows is not known
                bad = last + 1
            for k in [*range(1, good + 1), *range(bad, last + 1)]:
                name = rollout.prefix(k).token_ids
                if name not in known:
                    known.add(name)
                    rollout.labels[k] = float(k <= good or name in reached)

    def count_passing(self) -> None:
        """Labels every prefix of a rollout with the share of right ones among all rollouts that pass through it.

        A rollout from a prefix is drawn as the policy would go on from there, so its verdict is a completion's for each
        of the prefixes that it goes on to pass through, at no cost.
        """
        marks: dict[tuple[int, ...], list[float]] = {}
        for rollout in self.rollouts.values():
            if rollout.mark is not None:
                for k in range(1, len(rollout.state.actions)):
                    marks.setdefault(rollout.prefix(k).token_ids, []).extend([rollout.mark] * len(rollout.tokens))
        for rollout in self.rollouts.values():
            own = ((k, marks.pop(rollout.prefix(k).token_ids, None)) for k in range(1, len(rollout.state.actions)))
            rollout.labels = {k: fmean(found) for k, found in own if found}

    def _priority(self, prefix: _Prefix, rollout: _Rollout) -> float:
        config = self.config
        length = len(rollout.state.token_ids) - len(prefix.state.token_ids)
        visits = sum(other.visits for other in self.prefixes.values())
        value = omega_q(prefix.value, length, config.alpha, config.beta, config.length)
        return value + omega_u(visits, prefix.visits, config.c_puct)
