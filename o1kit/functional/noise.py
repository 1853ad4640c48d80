"""Counter-based randomness: a number is a function of its key and counter, never of what was drawn before.

SplitMix64 (Steele, Lea, Flood 2014) in wrapping 64-bit arithmetic, on Python integers and on tensors alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def _signed(x: int) -> int:
    return x - (1 << 64) if x >= 1 << 63 else x


def derive(key: int, *counters: int) -> int:
    """A 63-bit key that depends on the given key and every counter, in order."""
    x = key & _MASK
    for counter in counters:
        x = (x + _GOLDEN * (2 * counter + 1)) & _MASK
        x = ((x ^ (x >> 30)) * _MIX_1) & _MASK
        x = ((x ^ (x >> 27)) * _MIX_2) & _MASK
        x ^= x >> 31
    return x >> 1


def _shift(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def uniform(keys_B: Tensor, counters_B: Tensor) -> Tensor:
    """Numbers in [0, 1), float64, one for each (key, counter) pair of int64 tensors."""
    x = keys_B + (2 * counters_B + 1) * _signed(_GOLDEN)
    x = (x ^ _shift(x, 30)) * _signed(_MIX_1)
    x = (x ^ _shift(x, 27)) * _signed(_MIX_2)
    x = x ^ _shift(x, 31)
    return _shift(x, 11).to(torch.float64) * 2.0**-53
