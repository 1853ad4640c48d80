"""Beam search over reasoning steps, and diverse verifier tree search.

    each round: sample next steps of the chains kept -> judge them -> keep the best

With one subtree this is beam search (as in Snell et al. 2024, arXiv 2408.03314). Diverse verifier tree search (DVTS,
Beeching et al. 2024) runs several subtrees apart from one another, so that one early favourite cannot take all places.
With `accept` next steps are sampled one by one until one is good enough: hard steps get most of the tokens.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from o1kit.functional.aggregation import aggregate
from o1kit.protocols import Policy, StepReward
from o1kit.search.best_of_n.search import choose
from o1kit.search.config import BeamConfig
from o1kit.search.noise import derive
from o1kit.search.tree import Node, export
from o1kit.types import SearchResult, State, Trajectory, Usage


class Beam:
    """Keeps the best unfinished chains, step by step; a finished one keeps its place."""

    def __init__(self, config: BeamConfig) -> None:
        self.config = config

    async def run(self, root: State, *, policy: Policy, reward: StepReward | None, key: int) -> SearchResult:
        """The finished chains of all subtrees and the answer chosen from them."""
        if reward is None:
            raise ValueError("beam search needs a reward that judges steps")
        top = Node(0, root, expanded=True)
        trees = [_Subtree(self.config, policy, reward, derive(key, i), top) for i in range(self.config.num_subtrees)]
        await asyncio.gather(*(tree.grow() for tree in trees))
        if not any(tree.done for tree in trees):  # the budget was spent before any chain had ended
            await max(trees, key=lambda tree: max(node.estimate for node in tree.alive)).complete_best()
        nodes = [top, *(node for tree in trees for node in tree.nodes)]
        for number, node in enumerate(nodes):  # in order of the subtrees, whichever was faster
            node.id = number
        ends = [node for tree in trees for node in tree.done]
        answers = {node.id: policy.answer(node.state) for node in ends}
        trajectories = tuple(
            Trajectory(node.state, answers[node.id], node.estimate, node.step_scores, visits=node.visits)
            for node in ends
        )
        chosen = choose(trajectories, self.config.select)
        usage = sum((tree.usage for tree in trees), Usage(prompt=len(root.token_ids)))
        return SearchResult(trajectories, (chosen,), usage, export(nodes, answers))


@dataclass(eq=False)
class _Subtree:
    """One beam search. A node's `estimate` is the aggregate of its chain's scores, its `visits` 1 if it was kept."""

    config: BeamConfig
    policy: Policy
    reward: StepReward
    key: int
    root: Node
    nodes: list[Node] = field(default_factory=list)
    done: list[Node] = field(default_factory=list)
    alive: list[Node] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    async def grow(self) -> None:
        """Extends the beams until all have ended; those that reach `max_steps` are completed without a search.

        Once its part of the budget is spent it leaves those that have not ended `alive`.
        """
        self.alive = [self.root]
        for depth in range(self.config.max_steps):
            places = self.config.num_beams - len(self.done)
            if not self.alive or places <= 0 or self._spent():
                return
            candidates = await self._extend(self.alive, depth)
            kept = sorted(candidates, key=lambda node: -node.estimate)[:places]
            for node in kept:
                _keep(node)
            self.done += [node for node in kept if node.state.terminal]
            self.alive = [node for node in kept if not node.state.terminal]
        if not self._spent():
            self.done += await asyncio.gather(*(self._finish(node, i) for i, node in enumerate(self.alive)))

    def _spent(self) -> bool:
        budget = self.config.token_budget
        return budget is not None and self.usage.generated * self.config.num_subtrees >= budget

    async def complete_best(self) -> None:
        """Completes the chain that is best so far without a search."""
        index, node = max(enumerate(self.alive), key=lambda pair: pair[1].estimate)
        self.done.append(await self._finish(node, index))

    async def _extend(self, alive: list[Node], depth: int) -> list[Node]:
        """Different next steps of every chain kept, judged; the root makes as many as all beams together.

        All at once; or, where steps are accepted, one at a time for each chain that has not enough good ones.
        """
        accept, beams = self.config.accept, self.config.num_beams if alive == [self.root] else 1
        most = self.config.num_children * beams
        wanting = list(enumerate(alive))
        new: dict[str, Node] = {}
        for drawn in range(1 if accept is None else most):
            at, number = ((depth,), most) if accept is None else ((depth, drawn), 1)
            await self._sample(wanting, at, number, new)
            wanting = [(i, node) for i, node in wanting if self._accepted(node, new) < beams]
            if not wanting or self._spent():
                break
        return list(new.values())

    def _accepted(self, parent: Node, new: dict[str, Node]) -> int:
        """How many of a chain's next steps keep enough of what it was worth."""
        enough = (self.config.accept or 0.0) * (1.0 if parent is self.root else parent.estimate)
        return sum(node.estimate >= enough for node in new.values() if node.parent is parent)

    async def _sample(
        self, parents: list[tuple[int, Node]], at: tuple[int, ...], number: int, new: dict[str, Node]
    ) -> None:
        """Puts next steps of chains into `new`, those that are there already left out, and judges them."""
        proposals = await asyncio.gather(
            *(
                self.policy.propose(node.state, number, key=derive(self.key, *at, i), decoding=self.config.decoding)
                for i, node in parents
            )
        )
        fresh: list[Node] = []
        for (_, parent), actions in zip(parents, proposals, strict=True):
            self.usage += Usage(generated=sum(len(action.completion.token_ids) for action in actions))
            for action in actions:
                state = parent.state.after(action)
                if state.text not in new:
                    fresh.append(new.setdefault(state.text, Node(0, state, parent)))
        scores = await asyncio.gather(*(self.reward.score(node.state) for node in fresh))
        for node, score in zip(fresh, scores, strict=True):
            assert node.parent is not None
            self._judge(node, (*node.parent.step_scores, score.value), node.parent)

    def _judge(self, node: Node, scores: tuple[float, ...], parent: Node) -> None:
        node.step_scores, node.estimate = scores, aggregate(self.config.aggregate, scores)
        parent.children.append(node)
        self.nodes.append(node)
        self.usage += Usage(scored=len(node.state.token_ids) - len(parent.state.token_ids))

    async def _finish(self, parent: Node, index: int) -> Node:
        key = derive(self.key, self.config.max_steps, index)
        (state,) = await self.policy.complete(parent.state, 1, key=key, decoding=self.config.decoding)
        self.usage += Usage(generated=len(state.token_ids) - len(parent.state.token_ids))
        node = Node(0, state, parent)
        self._judge(node, await self.reward.step_scores(state), parent)
        _keep(node)
        return node


def _keep(node: Node) -> None:
    node.visits, node.value_sum = 1, node.estimate
