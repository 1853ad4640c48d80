"""How chains of thought go wrong without being wrong: no answer, cut off, going round in circles, doubting for ever.

Every measure takes what a chain is made of (token ids, text, why it ended) and needs no ground truth.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import NamedTuple

CUT = ("length", "context")
"""Ends of a completion (`types.Finish`) that the model did not choose."""
REFLECTION_WORDS = (
    "wait",
    "hmm",
    "alternatively",
    "let me check",
    "let me double-check",
    "let me re-check",
    "let me reconsider",
    "let me think again",
    "on second thought",
    "i made a mistake",
)
"""What a chain says when it turns back on itself, as o1-like models do."""


class Chain(NamedTuple):
    """What is measured of one chain: its sampled tokens, its text, why it ended, and the answer found in it."""

    tokens: Sequence[Hashable]
    text: str
    finish: str
    answer: str | None


class Bounds(NamedTuple):
    """From where on a chain counts as degenerate."""

    ngram: int = 4
    """Length of the n-grams of `repeated_share`."""
    repeated: float = 0.5
    """A chain repeats itself if more than this share of its n-grams has occurred before in it ..."""
    loop: int = 3
    """... or if it ends in a loop of at least so many rounds ..."""
    loop_tokens: int = 16
    """... that together are at least so many tokens long."""
    reflections: int = 8
    """A chain over-reflects with more of `words` than this."""
    words: tuple[str, ...] = REFLECTION_WORDS
    """Words and phrases that are counted as reflections."""


BOUNDS = Bounds()
"""What is used where nothing else is said."""


class Degeneration(NamedTuple):
    """Shares in [0, 1] of all chains, and means over them."""

    no_answer: float
    """No answer was found, for whatever reason."""
    truncated: float
    """The chain met a limit on its length before it ended."""
    repetitive: float
    """The chain repeats itself (see `Bounds`)."""
    over_reflective: float
    """The chain turns back on itself too often (see `Bounds`)."""
    mean_repeated_share: float
    """Mean of `repeated_share`."""
    mean_reflections: float
    """Mean number of reflections a chain."""


class Loop(NamedTuple):
    """The end of a sequence as rounds of `period` items, over `length` items; (0, 0) without a loop."""

    period: int
    length: int

    @property
    def rounds(self) -> float:
        """How often the period is gone through, the broken first round included."""
        return self.length / self.period if self.period else 0.0


def truncated(finish: str) -> bool:
    """True when a completion ended because there was no more room, not because the model ended it."""
    return finish in CUT


def repeated_share(tokens: Sequence[Hashable], n: int = 4) -> float:
    """1 - |distinct n-grams| / |n-grams|: seq-rep-n of Welleck et al. 2019 (arXiv 1908.04319), in [0, 1).

    0 for a sequence shorter than n, which repeats nothing.

    Raises:
        ValueError: n is not positive.
    """
    if n < 1:
        raise ValueError(f"n-grams need n >= 1, got {n}")
    count = len(tokens) - n + 1
    if count < 1:
        return 0.0
    return 1 - len({tuple(tokens[i : i + n]) for i in range(count)}) / count


def final_loop(tokens: Sequence[Hashable]) -> Loop:
    """The longest end of a sequence that goes through some period at least twice; the shortest such period.

    The last L items have period p if x[i] = x[i - p] for all but the first p of them. With z[p], the number of items
    that the reversed sequence and its own shift by p have in common, L = p + z[p], and there are two rounds if
    z[p] >= p. All z come from one pass (the Z algorithm, Gusfield 1997): time and memory are linear.
    """
    best = Loop(0, 0)
    for period, common in enumerate(_z(tokens[::-1])):
        if period and common >= period and period + common > best.length:
            best = Loop(period, period + common)
    return best


def reflections(text: str, words: Sequence[str] = REFLECTION_WORDS) -> int:
    """How often one of the words or phrases occurs, as whole words, whatever their case and spacing; none twice."""
    pattern = _pattern(tuple(words))
    return sum(1 for _ in pattern.finditer(text)) if pattern is not None else 0


def repeats_itself(tokens: Sequence[Hashable], bounds: Bounds = BOUNDS) -> bool:
    """True when too many n-grams recur, or when the chain ends in a loop."""
    if repeated_share(tokens, bounds.ngram) > bounds.repeated:
        return True
    loop = final_loop(tokens)
    return loop.rounds >= bounds.loop and loop.length >= bounds.loop_tokens


def degeneration(chains: Sequence[Chain], bounds: Bounds = BOUNDS) -> Degeneration:
    """The measures over some chains.

    Raises:
        ValueError: there are no chains, so there is nothing to take a share of.
    """
    if not chains:
        raise ValueError("degeneration needs at least one chain")
    counts = [reflections(chain.text, bounds.words) for chain in chains]
    total = len(chains)
    return Degeneration(
        no_answer=sum(chain.answer is None for chain in chains) / total,
        truncated=sum(truncated(chain.finish) for chain in chains) / total,
        repetitive=sum(repeats_itself(chain.tokens, bounds) for chain in chains) / total,
        over_reflective=sum(count > bounds.reflections for count in counts) / total,
        mean_repeated_share=sum(repeated_share(chain.tokens, bounds.ngram) for chain in chains) / total,
        mean_reflections=sum(counts) / total,
    )


@lru_cache(maxsize=32)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """Longer phrases first, so that a phrase is not counted as the word it begins with."""
    phrases = sorted({" ".join(word.split()) for word in words if word.strip()}, key=len, reverse=True)
    if not phrases:
        return None
    alternatives = "|".join(re.escape(phrase).replace(r"\ ", r"\s+") for phrase in phrases)
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE)


def _z(items: Sequence[Hashable]) -> list[int]:
    """z[i] = length of the longest common start of `items` and `items[i:]`."""
    z = [0] * len(items)
    left = right = 0
    for i in range(1, len(items)):
        if i < right:
            z[i] = min(right - i, z[i - left])
        while i + z[i] < len(items) and items[z[i]] == items[i + z[i]]:
            z[i] += 1
        if i + z[i] > right:
            left, right = i, i + z[i]
    return z
