"""State values from the outcomes of chains that share prefixes: what a search tree says about its own nodes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def tree_values(
    chains: Sequence[Sequence[Hashable]],
    outcomes: Sequence[float],
    weights: Sequence[float],
    prior_strength: float,
    start: float | None = None,
) -> list[list[float]]:
    """For each chain the value before each of its steps.

    A prefix's value is the mean outcome of the chains through it, shrunk to the value of the prefix one step
    shorter: V = (n m + k V_parent) / (n + k), with n chains, their weighted mean m and k = `prior_strength`.
    Without steps the parent is `start`, or nothing (V = m). A group baseline (GRPO, arXiv 2402.03300) is the value at
    the root; deeper prefixes are what VinePPO (arXiv 2410.01679) estimates with extra rollouts, here for free.

    Args:
        chains: the steps of each chain; equal steps after equal prefixes are one node.
        outcomes: the return of each chain.
        weights: how much each chain counts in a mean.
        prior_strength: k, in chains.
        start: value of the empty prefix before anything was seen.
    """
    members: dict[tuple[Hashable, ...], list[int]] = {}
    for index, chain in enumerate(chains):
        for depth in range(len(chain)):
            members.setdefault(tuple(chain[:depth]), []).append(index)
    values: dict[tuple[Hashable, ...], float] = {}
    for prefix in sorted(members, key=len):
        inside = members[prefix]
        total = sum(weights[i] for i in inside)
        mean = sum(weights[i] * outcomes[i] for i in inside) / total
        parent = values[prefix[:-1]] if prefix else start
        n = len(inside)
        values[prefix] = mean if parent is None else (n * mean + prior_strength * parent) / (n + prior_strength)
    return [[values[tuple(chain[:depth])] for depth in range(len(chain))] for chain in chains]
