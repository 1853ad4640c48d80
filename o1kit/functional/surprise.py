"""How surprised a policy was by its own chain: what a reward model may read besides its own state. Plain Python.

A model sees, at the end of a step, which tokens were drawn, but hardly how probable they had been: its prediction of a
token is made in the last layers, one position before the token, where the layers that could compare the two no longer
look. The policy's log-probabilities, kept since the chain was sampled, say so at no cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Features = tuple[float, float, float]
SIZE = 3
MEAN_SCALE, LEAST_SCALE, TOTAL_SCALE = 10.0, 0.5, 0.5
"""Bring the features of ordinary chains to the same order, so that one learning rate suits all."""
LEAST, TOTAL = -6.0, -10.0
"""Nats below which a less likely token, or chain, says no more."""


def surprise(step_logprobs: Iterable[Sequence[float | None]]) -> list[Features]:
    """After each step: scaled mean, least and sum of the log-probabilities of all tokens drawn so far, each <= 0.

    Args:
        step_logprobs: for each step the untempered log-probability of each of its tokens, in nats; None for tokens
            that nobody drew, because a search put them in.
    """
    found: list[Features] = []
    count, total, least = 0, 0.0, 0.0
    for step in step_logprobs:
        for logprob in step:
            if logprob is not None:
                count, total, least = count + 1, total + logprob, min(least, logprob)
        mean = total / count if count else 0.0
        found.append((MEAN_SCALE * mean, LEAST_SCALE * max(least, LEAST), TOTAL_SCALE * max(total, TOTAL)))
    return found


def weighed(features: Features, weights: Sequence[float]) -> float:
    """w . f: what surprise adds to the log-odds of a reward model."""
    return sum(w * f for w, f in zip(weights, features, strict=True))
