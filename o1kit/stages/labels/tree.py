"""Step labels inferred from search trees whose finished chains were verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from o1kit.engines.policy import PromptTemplate
from o1kit.errors import DataError
from o1kit.functional.rest_values import tree_step_values
from o1kit.report.label_schema import LabelRecord, Provenance
from o1kit.report.tree_schema import NodeRecord, TreeRecord
from o1kit.types import Problem

Value = float | None


class Tree(NamedTuple):
    """A tree of steps by index: parents, and verdicts on finished chains; None for unfinished or unknown ones."""

    nodes: Sequence[NodeRecord]
    parents: list[int | None]
    correct: list[bool | None]

    def children(self) -> list[list[int]]:
        """The children of every node."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for i, parent in enumerate(self.parents):
            if parent is not None:
                found[parent].append(i)
        return found

    def path(self, node: int) -> list[int]:
        """The nodes from the first step to a node."""
        found: list[int] = []
        while (above := self.parents[node]) is not None:
            found.append(node)
            node = above
        return found[::-1]


class Step(NamedTuple):
    """One step of a node: its text and its tokens."""

    text: str
    token_ids: list[int]


def tree_of(record: TreeRecord) -> Tree:
    """A tree of steps with its verdicts. A finished chain without an answer is wrong.

    Raises:
        DataError: its nodes are whole solutions, it has no root, or its chains were not verified.
    """
    place = f"the tree of problem {record.problem.id!r}"
    if any(node.unit in ("solution", "answer") for node in record.nodes) or record.nodes[0].text:
        raise DataError(f"{place} ({record.search.title}): its nodes are whole solutions, not steps. Use other trees.")
    index = {node.id: i for i, node in enumerate(record.nodes)}
    parents = [None if node.parent is None else index[node.parent] for node in record.nodes]
    if parents.count(None) > 1:
        raise DataError(f"{place}: has several roots. Use trees of steps.")
    if any(node.terminal and node.answer is not None and node.correct is None for node in record.nodes):
        raise DataError(f"{place}: its finished chains were not verified. Set `verify: true` in the rollout stage.")
    ends = [(node.correct or False) if node.terminal else None for node in record.nodes]
    return Tree(record.nodes, parents, ends)


def rest(tree: Tree) -> list[Value]:
    """ReST-MCTS*'s V of every node; None below which no chain was finished: an open end is not a wrong one."""
    values = tree_step_values(tree.parents, [end is True for end in tree.correct])
    return [value if finished else None for value, finished in zip(values, _finished(tree), strict=True)]


def reach(tree: Tree) -> list[Value]:
    """P(right end below the node) = sum_c p_c P(c) / sum_c p_c over its children with finished chains below them.

    p_c is the policy's probability of the child among its siblings, as the search has seen it.
    """
    values: list[Value] = [None if end is None else float(end) for end in tree.correct]
    children = tree.children()
    for i in range(len(values) - 1, -1, -1):
        known = [(tree.nodes[c].prior, v) for c in children[i] if (v := values[c]) is not None]
        total = sum(prior for prior, _ in known)
        if total > 0:
            values[i] = sum(prior * value for prior, value in known) / total
        elif known:
            values[i] = sum(value for _, value in known) / len(known)
    return values


def provenance_of(record: TreeRecord, source: str, estimate: str, policy: str) -> Provenance:
    """Where values of a tree come from; `policy` is the fingerprint of the one that searched."""
    temperature = record.search.section.get("temperature")
    known = float(temperature) if isinstance(temperature, int | float) else 0.0
    return Provenance(source=source, policy=policy, temperature=known, estimate=estimate, seed=record.seed)


ESTIMATES: Mapping[str, Callable[[Tree], list[Value]]] = {"rest": rest, "reach": reach}


def _finished(tree: Tree) -> list[bool]:
    """Whether a chain that goes through each node was finished."""
    found = [end is not None for end in tree.correct]
    for i in range(len(found) - 1, 0, -1):
        above = tree.parents[i]
        if found[i] and above is not None:
            found[above] = True
    return found


def steps_of(node: NodeRecord, template: PromptTemplate) -> list[Step]:
    """The steps that a node adds to its parent.

    Raises:
        DataError: the file has no tokens of it.
    """
    if node.token_ids is None:
        raise DataError(f"node {node.id} of a tree has no tokens. Run the rollout stage again.")
    tokens = node.token_ids
    stops = [i + 1 for i, token in enumerate(tokens[:-1]) if token in template.step_ids] + [len(tokens)]
    if len(stops) == 1:
        return [Step(node.text, tokens)]
    parts = [tokens[a:b] for a, b in zip([0, *stops[:-1]], stops, strict=True)]
    return [Step(template.decode(part), part) for part in parts]


def tree_labels(
    record: TreeRecord, estimate: str, template: PromptTemplate, provenance: Provenance
) -> list[LabelRecord]:
    """The chains from the root to every leaf, the value of a node at the end of its last step.

    A step that several chains share has its label in the first of them only.
    """
    tree = tree_of(record)
    values = ESTIMATES[estimate](tree)
    prompt_ids = template.prompt(Problem(record.problem.id, record.problem.task, record.problem.prompt))
    used: set[int] = set()
    records: list[LabelRecord] = []
    for leaf, children in enumerate(tree.children()):
        if children or not leaf:
            continue
        steps: list[Step] = []
        labels: list[Value] = []
        tokens = 0
        for i in tree.path(leaf):
            mine = steps_of(tree.nodes[i], template)
            steps += mine
            labels += [None] * (len(mine) - 1) + [None if i in used else values[i]]
            if i not in used:
                tokens += len(tree.nodes[i].token_ids or ()) - tree.nodes[i].given
            used.add(i)
        records.append(
            LabelRecord(
                problem=record.problem.id,
                prompt=record.problem.prompt,
                steps=[step.text for step in steps],
                labels=labels,
                correct=tree.correct[leaf],
                prompt_ids=prompt_ids,
                step_ids=[step.token_ids for step in steps],
                tokens=tokens,
                provenance=provenance,
            )
        )
    return records
