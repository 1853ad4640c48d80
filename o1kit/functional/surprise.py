"""How surprised a policy was by its own chain: what a reward model may read besides its own state. Plain Python.

A model sees, at the end of a step, which tokens were drawn, but hardly how probable they had been: its prediction of a
token is made in the last layers, one position before the token, where the layers that could compare the two no longer
look. The policy's log-probabilities, kept since the chain was sampled, say so at no cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Features = tuple[float, float, float]
SIZE = 3
NOTHING: Features = (0.0, 0.0, 0.0)
"""In place of features where surprise is not read."""
SCALE = 4.0
"""The features run from 0 to this, so that log-odds of a few need weights of about 1, where training starts."""


def surprise(step_logprobs: Iterable[Sequence[float | None]]) -> list[Features]:
    """After each step: the least probability of a token so far, their geometric mean, and their product, times 4.

    Probabilities rather than their logarithms: whether a token had one chance in a hundred or in a million, it was a
    slip either way, and a chain with it is right about as seldom.

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
        found.append((SCALE * math.exp(least), SCALE * math.exp(mean), SCALE * math.exp(total)))
    return found


def weighed(features: Features, weights: Sequence[float]) -> float:
    """w . f: what surprise adds to the log-odds of a reward model."""
    return sum(w * f for w, f in zip(weights, features, strict=True))
