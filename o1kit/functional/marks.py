"""Marks that a language model gives in words, as numbers."""

from __future__ import annotations

import re
from functools import cache


@cache
def _patterns(full: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """How a mark is stated where `full` is the best one, and how a reply looks that is nothing but a mark.

    The number is no beginning of a longer one, of a range, of a percentage, or of a fraction other than n/full.
    """
    number = rf"([+-]?\d{{1,3}}(?:\.\d+)?)(?!\.?\d|\s*(?:to|-)\s*[+-]?\d|\s*%|\s*/(?!\s*{re.escape(full)}\b))"
    stated = re.compile(rf"(?:\[score\]|\bscore\b)\s*(?:is|[:=])?[\s*]*{number}", re.IGNORECASE)
    return stated, re.compile(rf"\s*{number}(?:\s*/\s*{re.escape(full)})?\s*")


def read_mark(reply: str, low: float = -100.0, high: float = 100.0) -> float | None:
    """The last mark of a reply, `[Score] N` or `Score: N`, or a reply that is nothing but a number; in [low, high].

    None where there is none, or it lies outside. At most three digits before the point.
    """
    text = reply.replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", "-")
    stated, bare = _patterns(f"{high:g}")
    alone = bare.fullmatch(text)
    found = [alone[1]] if alone else stated.findall(text)
    value = float(found[-1]) if found else None
    return value if value is not None and low <= value <= high else None


def as_mark(value: float) -> float:
    """A number in [0, 1] on the scale from -100 to 100."""
    return 200 * value - 100


def as_share(mark: float, low: float = -100.0, high: float = 100.0) -> float:
    """A mark on the scale from 0 to 1; 0 for none at all (minus infinity)."""
    return max((mark - low) / (high - low), 0.0)
