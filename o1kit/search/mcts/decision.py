"""What a tree has found: its finished chains, and the one answer chosen from them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Literal

from o1kit.functional.aggregation import aggregate
from o1kit.functional.voting import best, weighted_vote
from o1kit.search.answers import voices
from o1kit.search.mcts.config import GumbelConfig, MctsConfig
from o1kit.search.mcts.rules import GumbelRule
from o1kit.search.tree import Node, Rollout
from o1kit.types import State, Trajectory


class Finder:
    """The finished chains of one tree: nodes at the end of a chain, and rollouts that came to one."""

    def __init__(self, config: MctsConfig, nodes: list[Node], read: Callable[[State], str | None], key: int) -> None:
        self.config, self.nodes, self.read, self.key = config, nodes, read, key
        self.ends: list[Node] = []
        self.rolled: list[tuple[Node, Rollout]] = []
        self.answers: dict[int, str | None] = {}
        self._told = (0, 0)

    @property
    def nothing(self) -> bool:
        """True while no chain has come to its end."""
        return not self.ends and not self.rolled

    def score(self, step_scores: Sequence[float]) -> float:
        """A finished chain's score, of those of its steps."""
        return aggregate(self.config.aggregate, step_scores)

    def news(self) -> list[tuple[tuple[float, ...]]]:
        """The step scores of the chains that were finished since this was asked last."""
        ends, rolled = self.ends[self._told[0] :], self.rolled[self._told[1] :]
        self._told = len(self.ends), len(self.rolled)
        return [(node.step_scores,) for node in ends] + [(rollout.step_scores,) for _, rollout in rolled]

    def trajectories(self) -> tuple[Trajectory, ...]:
        """The finished chains, ends of the tree first; a rollout stands for its share of the node's samples.

        A chain's visits are the simulations that came to its end, and the samples that found it.
        """
        for node in self.ends:
            if node.id not in self.answers:
                self.answers[node.id] = self.read(node.state)
        found = [
            self._trajectory(node.state, self.answers[node.id], node.step_scores, node.visits + node.count, node.reach)
            for node in sorted(self.ends, key=lambda node: node.id)
        ]
        for node, rollout in self.rolled:
            prior = node.reach / (node.samples + node.rolled)
            found.append(self._trajectory(rollout.state, rollout.answer, rollout.step_scores, 1, prior))
        return tuple(found)

    def _trajectory(
        self, state: State, answer: str | None, scores: tuple[float, ...], visits: int, prior: float
    ) -> Trajectory:
        return Trajectory(state, answer, self.score(scores), scores, visits=visits, prior=prior)

    def answer(self) -> str | None:
        """The search's answer, by the recipe's rule."""
        if self.config.select == "path":
            return self.read(self.tip().state)
        return decide(self.trajectories(), self.config.select)

    def voice(self) -> Hashable:
        """The same for all equal answers of the search; None for none."""
        answer, alike = self.answer(), self.nodes[0].state.problem.alike
        return answer if answer is None or alike is None else alike(answer)

    def tip(self) -> Node:
        """The end of the most visited path; with Gumbel selection it goes through the root's winner."""
        node = self.nodes[0]
        if isinstance(self.config.selection, GumbelConfig) and node.children and node.children[0].state.actions:
            rule = GumbelRule(self.config.selection, self.config.num_simulations, self.key, lambda _: False)
            node = rule.winner(node)
        while node.children:
            node = max(node.children, key=lambda child: (child.visits, child.estimate))
        return node


def decide(trajectories: Sequence[Trajectory], select: Literal["visits", "best", "weighted"]) -> str | None:
    """One answer: of most visits, of the best chain, or by votes of (policy's probability of the chain) x (score).

    Independent samples vote as often as the policy makes them; a tree holds each chain once, so its `prior` votes.
    """
    answers = voices(trajectories)
    if select == "best":
        return best(answers, [t.score for t in trajectories])
    if select == "visits":
        return weighted_vote(answers, [float(t.visits) for t in trajectories])
    return weighted_vote(answers, [t.score * t.prior for t in trajectories])
