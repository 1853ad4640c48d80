"""When a tree search ends: its budgets, and the reasons to stop before they are used up."""

from __future__ import annotations

from collections.abc import Hashable

from o1kit.protocols import Reward
from o1kit.search.mcts.config import MctsConfig, StopConfig
from o1kit.search.mcts.decision import Finder
from o1kit.types import Usage


class Stopper:
    """Looks at a search after every batch of leaves."""

    def __init__(self, config: MctsConfig, finder: Finder, oracle: Reward | None) -> None:
        self.config, self.finder, self.oracle = config, finder, oracle
        self.stop = config.stop or StopConfig()
        self.stopped = False
        self._answer: Hashable = None
        self._answer_since = self._best_since = 0
        self._best = float("-inf")
        self._marks: dict[int, bool] = {}
        self._right_rollouts: list[bool] = []

    def room(self, done: int, usage: Usage) -> int:
        """Simulations that may still be made."""
        budget = self.config.token_budget
        if self.stopped or (budget is not None and usage.generated >= budget):
            return 0
        limit = self.config.num_simulations
        correct = self.stop.correct
        if correct is not None and done >= limit and self.right < correct.low:
            limit *= correct.limit
        return limit - done

    @property
    def right(self) -> int:
        """Finished chains with the right answer."""
        return sum(self._marks.values()) + sum(self._right_rollouts)

    async def look(self, done: int) -> None:
        """Notes what has changed, and whether it is time to stop."""
        stop = self.stop
        if stop.correct is not None:
            await self._count()
            self.stopped |= self.right >= stop.correct.high
        if stop.value is None and stop.patience is None and stop.no_improvement is None:
            return
        if self.finder.nothing:
            self._answer_since = self._best_since = done
            return
        top = max((self.finder.score(*new) for new in self.finder.news()), default=self._best)
        if top > self._best:
            self._best, self._best_since = top, done
        if stop.patience is not None:
            answer = self.finder.voice()
            if answer is None or answer != self._answer:
                self._answer, self._answer_since = answer, done
            self.stopped |= done - self._answer_since >= stop.patience
        if stop.no_improvement is not None:
            self.stopped |= done - self._best_since >= stop.no_improvement
        if stop.value is not None:
            self.stopped |= self._best >= stop.value

    async def _count(self) -> None:
        assert self.oracle is not None
        for node in self.finder.ends:
            if node.id not in self._marks:
                self._marks[node.id] = (await self.oracle.score(node.state)).value >= 1
        for _, rollout in self.finder.rolled[len(self._right_rollouts) :]:
            self._right_rollouts.append((await self.oracle.score(rollout.state)).value >= 1)
