"""Calibration of probabilities after training: a scale and a bias for log-odds. Plain numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

STEPS, TOLERANCE = 100, 1e-10
RIDGE = 1e-6
"""Keeps the scale finite where labels are separable; too small to matter elsewhere."""
MIN_SCALE = 1e-3
"""A calibration must not turn a ranking around: readings that tell nothing end almost flat, never reversed."""


class Platt(NamedTuple):
    """Calibrated log-odds are `scale * logit + bias`, with `weights . features` where there are features."""

    scale: float = 1.0
    bias: float = 0.0
    weights: tuple[float, ...] = ()

    def apply(self, logit: float, features: Sequence[float] = ()) -> float:
        """A calibrated reading."""
        return self.scale * logit + self.bias + sum(w * f for w, f in zip(self.weights, features, strict=True))


def fit_platt(
    logits: Sequence[float], labels: Sequence[float], features: Sequence[Sequence[float]] | None = None
) -> Platt:
    """The scale a, bias b and weights w that minimise the mean cross-entropy of sigmoid(a x + w . f + b) with labels.

    Platt (1999), with the temperature of Guo et al. (2017) as 1 / a; labels may be soft. As with Platt, they are drawn
    in to (n + 1) / (n + 2) and 1 / (n + 2) of n good and n bad ones, so that few of them promise no certainty. Newton's
    method with halved steps; the problem is convex, so the optimum is the only one. A scale below `MIN_SCALE` is held
    there.

    Raises:
        ValueError: no logits, or not one label each.
    """
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if x.size == 0 or x.shape != y.shape:
        raise ValueError(f"{y.size} labels for {x.size} logits, and at least one is needed")
    good, bad = y.sum(), (1 - y).sum()
    y = y * (good + 1) / (good + 2) + (1 - y) / (bad + 2)
    more = np.zeros((x.size, 0)) if features is None else np.asarray(features, dtype=np.float64)
    columns = np.concatenate([x[:, None], np.ones_like(x)[:, None], more], axis=1)
    scale, bias, *weights = _newton(columns, y, np.zeros_like(x), np.array([1.0, 0.0, *np.zeros(more.shape[1])]))
    if scale < MIN_SCALE:
        (bias,) = _newton(np.ones_like(x)[:, None], y, MIN_SCALE * x, np.array([0.0]))
        scale, weights = MIN_SCALE, [0.0] * more.shape[1]
    return Platt(float(scale), float(bias), tuple(map(float, weights)))


def _newton(features_NK: np.ndarray, y: np.ndarray, offset: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Weights that minimise the cross-entropy of sigmoid(features @ weights + offset), and RIDGE |weights|^2 / 2."""

    def loss(w: np.ndarray) -> float:
        z = features_NK @ w + offset
        return float((np.logaddexp(0, z) - y * z).mean() + RIDGE * (w @ w) / 2)

    w, value = start, loss(start)
    for _ in range(STEPS):
        p = 0.5 * (1 + np.tanh((features_NK @ w + offset) / 2))
        gradient = features_NK.T @ (p - y) / len(y) + RIDGE * w
        hessian = (features_NK * (p * (1 - p))[:, None]).T @ features_NK / len(y) + RIDGE * np.eye(len(w))
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while loss(w - size * step) > value and size > 1e-9:
            size /= 2
        w = w - size * step
        previous, value = value, loss(w)
        if previous - value < TOLERANCE and np.abs(gradient).max() < 1e-8:
            break
    return w
