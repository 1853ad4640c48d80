"""`Decoding`: how tokens are drawn. Recipes name it, so it is apart from the protocols and quick to import."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Decoding:
    """How tokens are drawn: `greedy`, or from the distribution tempered, then truncated (see `functional.sampling`)."""

    temperature: float = 1.0
    top_k: int = 0
    """Only so many of the likeliest tokens; 0: all."""
    top_p: float = 1.0
    """Only the fewest tokens whose mass reaches this; 1: all."""
    min_p: float = 0.0
    """Only tokens with at least this share of the likeliest token's probability; 0: all."""
    greedy: bool = False
    alternatives: int = 0
    """How many of the likeliest tokens are reported at each position, with their untempered log-probabilities."""

    @property
    def truncates(self) -> bool:
        """True when some tokens can not be drawn."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0
