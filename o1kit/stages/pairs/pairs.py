"""Preference pairs from labelled chains and from search trees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from o1kit.engines.policy import PromptTemplate
from o1kit.report.label_schema import LabelRecord, PairRecord, Provenance
from o1kit.report.tree_schema import TreeRecord
from o1kit.stages.labels.tree import ESTIMATES, Tree, steps_of, tree_of
from o1kit.stages.pairs.config import OutcomePairsConfig, RevisionPairsConfig, StepPairsConfig, TreePairsConfig
from o1kit.types import Problem

Chain = Sequence[tuple[str, Sequence[int]]]
"""Steps with their tokens; no tokens for text from elsewhere."""


def outcome_pairs(records: Iterable[LabelRecord], config: OutcomePairsConfig) -> Iterator[PairRecord]:
    """The best right chains of each problem, each against the worst wrong ones.

    Records of a problem stand together, as label stages write them.
    """
    for _, mine in groupby(records, key=lambda record: record.problem):
        unique = {tuple(record.steps): record for record in reversed(list(mine)) if record.correct is not None}
        chains = list(unique.values())[::-1]
        right = sorted((r for r in chains if r.correct), key=lambda r: -_mean(r))[: config.best]
        wrong = sorted((r for r in chains if not r.correct), key=_mean)[: config.worst]
        for good in right:
            for bad in wrong:
                yield _pair_of(good, bad, len(good.steps), len(bad.steps), config.kind)


def step_pairs(records: Iterable[LabelRecord], config: StepPairsConfig) -> Iterator[PairRecord]:
    """Good steps against bad ones that follow the same steps of the same problem."""
    for _, mine in groupby(records, key=lambda record: record.problem):
        following: dict[tuple[str, ...], dict[str, tuple[float, int, LabelRecord]]] = {}
        for record in mine:
            for k, label in enumerate(record.labels):
                if label is not None:
                    after = following.setdefault(tuple(record.steps[:k]), {})
                    after.setdefault(record.steps[k], (label, k, record))
        for after in following.values():
            good = sorted((f for f in after.values() if f[0] >= config.threshold), key=lambda f: -f[0])
            bad = sorted((f for f in after.values() if f[0] < config.threshold), key=lambda f: f[0])
            both = sorted(((g, b) for g in good for b in bad), key=lambda pair: pair[1][0] - pair[0][0])
            for (_, k, one), (_, _, other) in both[: config.max_pairs]:
                yield _pair_of(one, other, k + 1, k + 1, config.kind)


def revision_pairs(records: Iterable[LabelRecord], config: RevisionPairsConfig) -> Iterator[PairRecord]:
    """Every revised chain against the one it is a revision of."""
    for record in records:
        if record.revised and (config.keep == "all" or record.correct):
            ids = record.revised_ids or [[]] * len(record.revised)
            chains = (_chain(record, len(record.steps)), list(zip(record.revised, ids, strict=True)))
            provenance = record.provenance.model_copy(update={"source": f"{config.kind}/{record.provenance.source}"})
            yield _pair(record.problem, record.prompt, record.prompt_ids, chains, provenance)


def tree_pairs(
    record: TreeRecord, config: TreePairsConfig, template: PromptTemplate, provenance: Provenance
) -> list[PairRecord]:
    """The best child of a node against the worst, the largest differences of the tree first."""
    tree = tree_of(record)
    values, children = ESTIMATES[config.estimate](tree), tree.children()
    found: list[tuple[float, int, int]] = []
    for below in children:
        known = [(value, -c) for c in below if (value := values[c]) is not None]
        if len(known) > 1:
            (high, best), (low, worst) = max(known), min((value, -c) for value, c in known)
            if high - low >= config.min_gap:
                found.append((high - low, -best, worst))
    prompt_ids = template.prompt(Problem(record.problem.id, record.problem.task, record.problem.prompt))
    pairs: list[PairRecord] = []
    for _, best, worst in sorted(found, key=lambda item: -item[0]):
        if config.until == "end":
            best, worst = _follow(tree, values, children, best, 1), _follow(tree, values, children, worst, -1)
            if tree.correct[best] is not True or tree.correct[worst] is not False:
                continue
        chosen, rejected = (_steps(tree, n, template) for n in (best, worst))
        if [text for text, _ in chosen] != [text for text, _ in rejected]:
            pairs.append(_pair(record.problem.id, record.problem.prompt, prompt_ids, (chosen, rejected), provenance))
        if len(pairs) == config.max_pairs:
            break
    return pairs


def _steps(tree: Tree, node: int, template: PromptTemplate) -> Chain:
    """The chain from the root to a node."""
    return [(step.text, step.token_ids) for i in tree.path(node) for step in steps_of(tree.nodes[i], template)]


def _follow(tree: Tree, values: Sequence[float | None], children: Sequence[Sequence[int]], node: int, sign: int) -> int:
    """The end that the largest (1) or smallest (-1) values lead to; the first of equal ones."""
    while known := [c for c in children[node] if values[c] is not None]:
        node = max(known, key=lambda c: sign * (values[c] or 0.0))
    return node


def _mean(record: LabelRecord) -> float:
    known = [label for label in record.labels if label is not None]
    return sum(known) / len(known) if known else 0.0


def _pair_of(good: LabelRecord, bad: LabelRecord, steps: int, others: int, kind: str) -> PairRecord:
    """The first steps of two records as a pair."""
    chains = (_chain(good, steps), _chain(bad, others))
    source = f"{kind}/{good.provenance.source}"
    provenance = good.provenance.model_copy(update={"source": source})
    return _pair(good.problem, good.prompt, good.prompt_ids, chains, provenance)


def _chain(record: LabelRecord, steps: int) -> Chain:
    ids = record.step_ids or [[]] * len(record.steps)
    return list(zip(record.steps, ids, strict=True))[:steps]


def _pair(
    problem: str, prompt: str, prompt_ids: Sequence[int], chains: tuple[Chain, Chain], provenance: Provenance
) -> PairRecord:
    chosen, rejected = chains
    shared = 0
    for one, other in zip(chosen, rejected, strict=False):
        if tuple(one) != tuple(other):
            break
        shared += 1
    return PairRecord(
        problem=problem,
        prompt=prompt,
        chosen=[text for text, _ in chosen],
        rejected=[text for text, _ in rejected],
        prompt_ids=list(prompt_ids),
        chosen_ids=[token for _, ids in chosen for token in ids],
        rejected_ids=[token for _, ids in rejected for token in ids],
        shared=shared,
        shared_tokens=sum(len(ids) for _, ids in chosen[:shared]),
        provenance=provenance,
    )
