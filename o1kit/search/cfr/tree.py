"""Regret matching on a tree of reasoning steps, learned by outcome sampling.

The steps of one problem are a game of one player. An information set is the path of step texts from the root, so equal
steps after equal steps are one; actions are sampled steps, more of them the more often a node is visited. A walk

    samples steps from epsilon * uniform + (1 - epsilon) * strategy -> ends with a utility in [0, 1] ->
    estimates every action's value on its way -> adds regrets, and the strategy to the average

with the estimates of `functional.outcome_sampling`, whose baseline is the process reward model's value of the child.
The utility is that model's value of the chain where the walk ended: nothing here sees the ground truth. The strategy
therefore goes where that model says, and is no better than it; `prior_weight` holds it to the policy.

What this is and is not: counterfactual regret minimisation has its guarantees where information is hidden or players
are several. One player who sees everything has neither: every node is a bandit, regret matching one of the rules that
have no regret, the average strategy converges to the best response, and nothing makes it better founded than UCT. What
it has over UCT is that it ends with probabilities of all chains instead of visits of one. It was never shown that an
o1-like system uses it. Zinkevich et al. 2007 (CFR), Lanctot et al. 2009 (outcome sampling), Schmid et al. 2019
(baselines), Couetoux et al. 2011 (widening).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from o1kit.functional.aggregation import aggregate
from o1kit.functional.outcome_sampling import anchored, exploring, pick, sampled_values
from o1kit.functional.regret import Regrets
from o1kit.functional.selection import widening
from o1kit.functional.voting import weighted_vote
from o1kit.protocols import Policy, StepReward
from o1kit.search.answers import voices
from o1kit.search.cfr.config import RegretTreeConfig
from o1kit.search.config import CfrConfig
from o1kit.search.noise import derive, unit
from o1kit.search.tree import Node, export, share_priors
from o1kit.types import Action, SearchResult, State, Trajectory, TreeNode, Usage

STEPS, CHOICES, REST = 0, 1, 2
"""Counters that keep apart what a key is used for: sampling steps, choosing among them, completing a chain."""


async def grow(
    config: CfrConfig, mode: RegretTreeConfig, root: State, *, policy: Policy, reward: StepReward, key: int
) -> SearchResult:
    """The finished chains of the tree and the answer that the average strategy gives."""
    tree = RegretTree(config, mode, root, policy, reward, key)
    while tree.walked < mode.num_iterations and not tree.spent:
        await tree.walk(min(mode.walks_per_batch, mode.num_iterations - tree.walked))
    return await tree.result()


@dataclass(slots=True)
class Choice:
    """One step of a walk: where, the strategy there, what was sampled with which probability."""

    node: Node
    strategy: list[float]
    taken: int
    chance: float


@dataclass(eq=False, slots=True)
class Walk:
    """One way through the tree, in iteration number 1, 2, ..."""

    number: int
    node: Node
    choices: list[Choice] = field(default_factory=list)


class RegretTree:
    """One search in progress; `tables` holds the regrets of node number i."""

    def __init__(
        self, config: CfrConfig, mode: RegretTreeConfig, root: State, policy: Policy, reward: StepReward, key: int
    ) -> None:
        self.config, self.mode, self.policy, self.reward, self.key = config, mode, policy, reward, key
        self.nodes = [Node(0, root)]
        self.tables = [Regrets(0, mode.rule)]
        self.usage = Usage(prompt=len(root.token_ids))
        self.walked = self.widened = 0

    @property
    def spent(self) -> bool:
        """True when the budget in tokens leaves nothing to start."""
        budget = self.config.token_budget
        return budget is not None and self.usage.generated >= budget

    # ---- walk ----------------------------------------------------------------------------------------------------

    async def walk(self, count: int) -> None:
        """Some walks side by side, a level at a time; what they found is learned in their order."""
        walks = [Walk(self.walked + i + 1, self.nodes[0]) for i in range(count)]
        moving = walks
        while moving:
            here = list(dict.fromkeys(walk.node for walk in moving))
            new = {node for node in here if node.visits == 0 and node.parent is not None}
            for walk in moving:
                walk.node.visits += 1
            going = [node for node in here if not (self.mode.walk == "cutoff" and node in new)]
            await self._widen([node for node in going if not self._closed(node)])
            moving = [walk for walk in moving if walk.node in going and walk.node.children]
            for walk in moving:
                self._step(walk)
        for walk in walks:
            self._learn(walk)
        self.walked += count

    def _closed(self, node: Node) -> bool:
        return node.state.terminal or len(node.state.actions) >= self.mode.max_steps

    def _step(self, walk: Walk) -> None:
        node, mode = walk.node, self.mode
        decay = 1 - (walk.number - 1) / mode.num_iterations if mode.prior_decay == "linear" else 1.0
        priors = [child.prior for child in node.children]
        strategy = anchored(self.tables[node.id].strategy(), priors, mode.prior_weight * decay)
        chances = exploring(strategy, mode.epsilon)
        taken = pick(chances, unit(derive(self.key, CHOICES, walk.number, len(walk.choices))))
        walk.choices.append(Choice(node, strategy, taken, chances[taken]))
        walk.node = node.children[taken]

    def _learn(self, walk: Walk) -> None:
        """Regrets r(a) = (q(a) - v) / (probability of sampling the node), and the strategies played."""
        utility = value = walk.node.estimate
        mine, sampled, reached = 1.0, 1.0, []
        for choice in walk.choices:
            reached.append((mine, sampled))
            mine, sampled = mine * choice.strategy[choice.taken], sampled * choice.chance
        for choice, (own, sampling) in zip(reversed(walk.choices), reversed(reached), strict=True):
            guesses = [child.estimate if self.mode.baseline == "judge" else 0.0 for child in choice.node.children]
            values = sampled_values(guesses, choice.taken, value, choice.chance)
            value = sum(p * v for p, v in zip(choice.strategy, values, strict=True))
            table = self.tables[choice.node.id]
            table.add([(v - value) / sampling for v in values])
            table.play(choice.strategy, own / sampling, walk.number)
        for node in [walk.node, *(choice.node for choice in walk.choices)]:
            node.value_sum += utility
        for table in self.tables:
            table.close(walk.number)

    # ---- widen ---------------------------------------------------------------------------------------------------

    async def _widen(self, nodes: Sequence[Node]) -> None:
        """Samples the steps that the nodes' visits allow, judges the new ones and makes actions of them."""
        if self.spent:
            return
        grown = await asyncio.gather(*(self._sample(node) for node in nodes))
        new: list[Node] = []
        for node, actions in zip(nodes, grown, strict=True):
            self.usage += Usage(generated=sum(len(action.completion.token_ids) for action in actions))
            new += self._attach(node, actions)
        scores = await asyncio.gather(*(self.reward.score(child.state) for child in new))
        for child, score in zip(new, scores, strict=True):
            self._judge(child, score.value)

    async def _sample(self, node: Node) -> list[Action]:
        drawn = sum(child.count for child in node.children)
        missing = widening(node.visits, self.mode.widening_k, self.mode.widening_alpha) - drawn
        if missing <= 0:
            return []
        key = derive(self.key, STEPS, node.id, drawn)
        return await self.policy.propose(node.state, missing, key=key, decoding=self.config.decoding)

    def _attach(self, node: Node, actions: Sequence[Action]) -> list[Node]:
        """The children that the steps are new as; equal ones raise the prior of the one that is there."""
        known = {child.state.actions[-1].text: child for child in node.children}
        first, before = not known, len(node.children)
        for action in actions:
            if action.text in known:
                known[action.text].count += 1
            else:
                known[action.text] = self._add(node, action)
        share_priors(node)
        new = node.children[before:]
        for child in new:
            self.tables[node.id].grow(self.mode.prior_regret * (child.prior - 1 / len(node.children)))
        self.widened += 0 if first else len(new)
        return new

    def _add(self, parent: Node, action: Action) -> Node:
        before = parent.state
        state = before.after(action)
        child = Node(len(self.nodes), state, parent)
        parent.children.append(child)
        self.nodes.append(child)
        self.tables.append(Regrets(0, self.mode.rule))
        return child

    def _judge(self, child: Node, score: float) -> None:
        assert child.parent is not None
        child.estimate, child.step_scores = score, (*child.parent.step_scores, score)
        self.usage += Usage(scored=len(child.state.actions[-1].completion.token_ids))

    # ---- decide --------------------------------------------------------------------------------------------------

    async def result(self) -> SearchResult:
        """The finished chains; when there is none, the likeliest one of the average strategy is completed."""
        ends = [node for node in self.nodes if node.state.terminal]
        if not ends:
            ends = [await self._finish()]
        shares = self._shares()
        reach = {0: 1.0}
        for node in self.nodes[1:]:  # parents come first
            assert node.parent is not None
            reach[node.id] = reach[node.parent.id] * shares[node.id]
        answers = {node.id: self.policy.answer(node.state) for node in ends}
        chains = tuple(
            Trajectory(
                node.state,
                answers[node.id],
                aggregate(self.mode.aggregate, node.step_scores),
                node.step_scores,
                visits=node.visits,
                prior=node.reach,
            )
            for node in ends
        )
        weights = [reach[node.id] for node in ends]
        if self.mode.select == "weighted":
            weights = [weight * chain.score for weight, chain in zip(weights, chains, strict=True)]
        chosen = weighted_vote(voices(chains), weights)
        stats = self._stats() | {"finished_probability": sum(reach[node.id] for node in ends)}
        return SearchResult(chains, (chosen,), self.usage, self._export(answers, shares), stats)

    async def _finish(self) -> Node:
        node = self.nodes[0]
        while node.children:
            average = self.tables[node.id].average()
            node = node.children[max(range(len(average)), key=average.__getitem__)]
        key, given = derive(self.key, REST, node.id), node.state
        (state,) = await self.policy.complete(given, 1, key=key, decoding=self.config.decoding)
        self.usage += Usage(generated=len(state.token_ids) - len(given.token_ids))
        scores = await self.reward.step_scores(state)
        for action, score in list(zip(state.actions, scores, strict=True))[len(given.actions) :]:
            (child,) = self._attach(node, [action])
            self._judge(child, score)
            node = child
        return node

    def _shares(self) -> dict[int, float]:
        """The probability of each node at its parent under the average strategy."""
        return {
            child.id: share
            for node in self.nodes
            if node.children
            for child, share in zip(node.children, self.tables[node.id].average(), strict=True)
        }

    def _export(self, answers: dict[int, str | None], shares: dict[int, float]) -> tuple[TreeNode, ...]:
        regrets = {
            child.id: regret
            for node in self.nodes
            for child, regret in zip(node.children, self.tables[node.id].regrets, strict=True)
        }
        return tuple(
            replace(node, regret=regrets.get(node.id), avg_strategy=shares.get(node.id))
            for node in export(self.nodes, answers)
        )

    def _stats(self) -> dict[str, float]:
        """Means over the nodes where something was to be chosen."""
        open_tables = [table for table in self.tables if table.size > 1]
        count = max(len(open_tables), 1)
        positive = [sum(max(r, 0.0) for r in table.regrets) / table.size for table in open_tables]
        entropies = [-sum(p * math.log(p) for p in table.average() if p > 0) for table in open_tables]
        return {
            "regret_mean_positive": sum(positive) / count / max(self.walked, 1),
            "strategy_entropy": sum(entropies) / count,
            "new_actions": float(self.widened),
            "iterations": float(self.walked),
        }
