"""Keys of the counter-based randomness, on plain integers: what has no torch draws from the same streams.

SplitMix64 (Steele, Lea, Flood 2014) in wrapping 64-bit arithmetic.
"""

from __future__ import annotations

GOLDEN = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def derive(key: int, *counters: int) -> int:
    """A 63-bit key that depends on the given key and every counter, in order."""
    x = key & _MASK
    for counter in counters:
        x = (x + GOLDEN * (2 * counter + 1)) & _MASK
        x = ((x ^ (x >> 30)) * MIX_1) & _MASK
        x = ((x ^ (x >> 27)) * MIX_2) & _MASK
        x ^= x >> 31
    return x >> 1
