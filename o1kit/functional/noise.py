"""Counter-based randomness: a number is a function of its key and counter, never of what was drawn before.

SplitMix64 (Steele, Lea, Flood 2014) in wrapping 64-bit arithmetic, on Python integers and on tensors alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from o1kit.functional.keys import GOLDEN, MIX_1, MIX_2, derive

__all__ = ["derive", "uniform"]


def _signed(x: int) -> int:
    return x - (1 << 64) if x >= 1 << 63 else x


def _shift(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def uniform(keys_B: Tensor, counters_B: Tensor) -> Tensor:
    """Numbers in [0, 1), float64, one for each (key, counter) pair of int64 tensors."""
    x = keys_B + (2 * counters_B + 1) * _signed(GOLDEN)
    x = (x ^ _shift(x, 30)) * _signed(MIX_1)
    x = (x ^ _shift(x, 27)) * _signed(MIX_2)
    x = x ^ _shift(x, 31)
    return _shift(x, 11).to(torch.float64) * 2.0**-53
