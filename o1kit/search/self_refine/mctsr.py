"""Monte Carlo tree self-refine (MCTSr, arXiv 2406.07394).

    rollout:  choose the answer of the largest UCT among those not fully expanded -> mark it again, criticise and
              rewrite it -> mark the rewrite -> Q = (min + mean) / 2 of each answer's marks -> back up Q' = (Q + max)/2

What the paper leaves open: a root has no father, so for its father's visits those of all roots are taken with the
paper's bound, and 0, as in the authors' code, with theirs. Whether an answer is fully expanded, and which answer is
given at the end, goes by the Q of the answers themselves; Q' steers the choice of the next one only. An answer whose
marks could not be read has the value of its best rewrite; without one it is chosen last, and marked again then.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from o1kit.functional.marks import as_mark, as_share
from o1kit.functional.refine import importance_index, mctsr_backup, mctsr_q, mctsr_uct_code, mctsr_uct_paper
from o1kit.functional.voting import best
from o1kit.protocols import Reward
from o1kit.search.noise import derive
from o1kit.search.self_refine.config import MctsrConfig
from o1kit.search.self_refine.desk import Desk
from o1kit.search.self_refine.judges import Marker
from o1kit.search.self_refine.tree import Answer, add, export, improved, most_promising
from o1kit.types import Action, Completion, SearchResult, State, Trajectory

PICK = -1
"""Counter of the final draw; rollouts count from 0, the first marks from -2 on downwards."""


class Mctsr:
    """One search in progress."""

    def __init__(self, config: MctsrConfig, desk: Desk, marker: Marker, oracle: Reward | None, key: int) -> None:
        self.config, self.desk, self.marker, self.oracle, self.key = config, desk, marker, oracle, key
        self.nodes: list[Answer] = []
        self.right: Answer | None = None
        self.errors = 0
        self._best, self._stale, self._repeats = -math.inf, 0, 0

    async def run(self) -> SearchResult:
        """The answers of the tree and the one chosen from them."""
        await self._plant()
        for rollout in range(self.config.num_rollouts):
            node = None if self._ended() else self._select()
            if node is None:
                break
            await self._rollout(node, derive(self.key, rollout))
        return self._result()

    # ---- grow ----------------------------------------------------------------------------------------------------

    async def _plant(self) -> None:
        """The first answer and the dummy, each marked."""
        first = await self.desk.first(self.key)
        await self._meet(add(self.nodes, first, self.desk.policy.answer(first)))
        if self.config.dummy_answer:
            words = Action(self.config.dummy_answer, Completion((), (), "answer"))
            add(self.nodes, State(self.desk.problem, self.desk.root.prompt_ids, (words,)), None).dummy = True
        await asyncio.gather(*(self._visit(node, derive(self.key, -2 - node.id)) for node in self.nodes))
        self._update()
        self._best = self.nodes[0].q

    async def _rollout(self, node: Answer, key: int) -> None:
        _, state = await asyncio.gather(self._visit(node, derive(key, 0)), self.desk.refine(node.text, derive(key, 1)))
        if state is None:
            node.closed = True
            self._stale += 1
            self._update()
            return
        child = add(self.nodes, state, self.desk.policy.answer(state), node)
        await asyncio.gather(self._meet(child), self._visit(child, derive(key, 2)))
        self._update()
        self._count(child)

    async def _visit(self, node: Answer, key: int) -> None:
        node.visits += 1
        score = await self.marker.mark(node, key)
        if score.outcome == "error":
            self.errors += 1
        else:
            node.rewards.append(as_mark(score.value))

    async def _meet(self, node: Answer) -> None:
        """Asks the oracle, where the recipe says so."""
        if self.oracle is not None and (await self.oracle.score(node.state)).value == 1:
            self.right = node

    def _update(self) -> None:
        """Q and Q' of all answers from their marks; children come after their fathers."""
        for node in self.nodes:
            node.q = mctsr_q(node.rewards)
        carried = self.config.backup == "path"
        for node in reversed(self.nodes):
            raised = max((child.value if carried else child.q for child in node.children), default=None)
            node.value = node.q if raised is None else mctsr_backup(node.q, raised)

    # ---- select and stop -----------------------------------------------------------------------------------------

    def _select(self) -> Answer | None:
        return most_promising(self.nodes, self.config.max_children, lambda node: node.q, self._bound)

    def _bound(self, node: Answer) -> float:
        c = self.config.exploration
        if self.config.uct == "code":
            return mctsr_uct_code(node.value, node.parent.visits if node.parent else 0, node.visits, c)
        roots = sum(other.visits for other in self.nodes if other.parent is None)
        return mctsr_uct_paper(node.value, node.parent.visits if node.parent else roots, node.visits, c)

    def _count(self, child: Answer) -> None:
        """How long nothing better, or nothing new, has come."""
        found = max(node.q for node in self.nodes if not node.dummy)
        self._stale = 0 if found > self._best else self._stale + 1
        self._best = max(self._best, found)
        seen = any(_said(node) == _said(child) for node in self.nodes[: child.id] if not node.dummy)
        self._repeats = self._repeats + 1 if seen else 0

    def _ended(self) -> bool:
        """True when one of the stop rules holds."""
        limits = (
            (self.config.patience, self._stale),
            (self.config.max_repeats, self._repeats),
            (self.config.max_depth, self.nodes[-1].depth),
        )
        reached = any(limit is not None and count >= limit for limit, count in limits)
        return self.right is not None or reached or self.desk.spent

    # ---- decide --------------------------------------------------------------------------------------------------

    def _result(self) -> SearchResult:
        written = [node for node in self.nodes if not node.dummy]
        trajectories = tuple(
            Trajectory(node.state, node.final, as_share(node.q), node.step_scores, visits=node.visits)
            for node in written
        )
        stats = {"nodes": float(len(self.nodes)), "score_errors": float(self.errors), **improved(self.nodes)}
        return SearchResult(trajectories, (self._pick(written),), self.desk.usage, export(self.nodes, as_share), stats)

    def _pick(self, written: Sequence[Answer]) -> str | None:
        if self.right is not None:
            return self.right.final
        if self.config.pick == "best":
            return best([node.final for node in written], [node.q for node in written])
        stated = [node for node in written if node.final is not None]
        if not stated:
            return None
        u = derive(self.key, PICK) / 2**63
        return stated[importance_index([as_share(node.q) for node in stated], u)].final


def _said(node: Answer) -> str:
    """What an answer comes to: its final answer, or all of its text where it states none."""
    return node.text if node.final is None else node.final
