"""REBASE: a round samples next steps, judges them, and shares the next round's samples by a softmax of the rewards.

    samples of chain j in a round = B exp(R_j / T) / sum_k exp(R_k / T),   B = chains wanted - chains finished

The paper rounds each share, so that a round may have a few samples more or less than B. Here the largest remainders are
rounded up, so that it has exactly B.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from o1kit.functional.aggregation import aggregate
from o1kit.functional.keys import derive
from o1kit.protocols import Policy, StepReward
from o1kit.search.best_of_n.search import choose
from o1kit.search.tree import Node, export
from o1kit.types import Action, SearchResult, State, Trajectory, Usage
from o1kit_rebase.config import RebaseConfig


class Rebase:
    """Balanced expansion of a tree of steps."""

    def __init__(self, config: RebaseConfig) -> None:
        self.config = config

    async def run(self, root: State, *, policy: Policy, reward: StepReward | None, key: int) -> SearchResult:
        """The finished chains, the answer chosen from them, and the tree."""
        if reward is None:
            raise ValueError("rebase needs a reward that judges steps")
        tree = _Tree(self.config, policy, reward, key, Node(0, root, expanded=True))
        await tree.grow()
        answers = {node.id: policy.answer(node.state) for node in tree.done}
        found = tuple(Trajectory(n.state, answers[n.id], n.estimate, n.step_scores) for n in tree.done)
        return SearchResult(found, (choose(found, self.config.select),), tree.usage, export(tree.nodes, answers))


@dataclass(eq=False)
class _Tree:
    """What has grown so far. A node's `estimate` is its chain's reward, its `visits` the samples it was given."""

    config: RebaseConfig
    policy: Policy
    reward: StepReward
    key: int
    top: Node
    done: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nodes = [self.top]
        self.usage = Usage(prompt=len(self.top.state.token_ids))

    async def grow(self) -> None:
        """Rounds until enough chains have ended, the budget is spent or the deepest step is reached."""
        config = self.config
        shares = [(self.top, config.num_samples)]
        for depth in range(config.max_steps):
            if not shares or self._spent():
                break
            new = await self._round(shares, depth)
            self.done += [node for node in new if node.state.terminal]
            alive = [node for node in new if not node.state.terminal]
            wanted = config.num_samples - len(self.done)
            counts = balanced([node.estimate for node in alive], wanted, config.balance_temperature)
            shares = [(node, count) for node, count in zip(alive, counts, strict=True) if count]
        else:
            if not self._spent():
                await self._finish(shares)
        if not self.done:
            await self._finish([(max((node for node, _ in shares), key=lambda node: node.estimate), 1)])

    def _spent(self) -> bool:
        budget = self.config.token_budget
        return budget is not None and self.usage.generated >= budget

    async def _round(self, shares: Sequence[tuple[Node, int]], depth: int) -> list[Node]:
        """The next steps of all chains that have samples, judged."""
        decoding = self.config.decoding
        proposals = await asyncio.gather(
            *(
                self.policy.propose(node.state, count, key=derive(self.key, depth, i), decoding=decoding)
                for i, (node, count) in enumerate(shares)
            )
        )
        jobs = []
        for (parent, count), actions in zip(shares, proposals, strict=True):
            parent.visits = count
            self.usage += Usage(generated=sum(len(action.completion.token_ids) for action in actions))
            jobs += [self._judged(parent, action) for action in actions]
        return [self._add(node) for node in await asyncio.gather(*jobs)]

    async def _judged(self, parent: Node, action: Action) -> Node:
        state = parent.state.after(action)
        scores = (*parent.step_scores, (await self.reward.score(state)).value)
        return Node(0, state, parent, step_scores=scores)

    async def _finish(self, shares: Sequence[tuple[Node, int]]) -> None:
        """Completes chains without a search, each as often as it has samples."""
        decoding = self.config.decoding
        groups = await asyncio.gather(
            *(
                self.policy.complete(node.state, n, key=derive(self.key, self.config.max_steps, i), decoding=decoding)
                for i, (node, n) in enumerate(shares)
            )
        )
        pairs = [(parent, state) for (parent, _), states in zip(shares, groups, strict=True) for state in states]
        scores = await asyncio.gather(*(self.reward.step_scores(state) for _, state in pairs))
        for (parent, state), found in zip(pairs, scores, strict=True):
            self.usage += Usage(generated=len(state.token_ids) - len(parent.state.token_ids))
            parent.visits += 1
            self.done.append(self._add(Node(0, state, parent, step_scores=found)))

    def _add(self, node: Node) -> Node:
        """Gives a node its number and its reward: in the order of the chains, whichever came first."""
        assert node.parent is not None
        node.id, node.estimate = len(self.nodes), aggregate(self.config.aggregate, node.step_scores)
        node.parent.children.append(node)
        self.nodes.append(node)
        self.usage += Usage(scored=len(node.state.token_ids) - len(node.parent.state.token_ids))
        return node


def balanced(rewards: Sequence[float], total: int, temperature: float) -> list[int]:
    """How many of `total` samples each chain gets: shares by softmax(rewards / temperature), largest remainders up."""
    if not rewards or total <= 0:
        return [0] * len(rewards)
    most = max(rewards)
    weights = [math.exp((reward - most) / temperature) for reward in rewards]
    exact = [total * weight / sum(weights) for weight in weights]
    counts = [math.floor(share) for share in exact]
    order = sorted(range(len(exact)), key=lambda i: (counts[i] - exact[i], i))
    for i in order[: total - sum(counts)]:
        counts[i] += 1
    return counts
