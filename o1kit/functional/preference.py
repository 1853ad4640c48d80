"""Probabilities that one answer is better than another, from scores or from what a model says."""

from __future__ import annotations

import math
from collections.abc import Iterable

_AROUND = " \t\r\n\"'*`.,:"
"""What may stand around a word."""
YES_NO = ("Yes", "No")
"""How a model answers a question."""


def bradley_terry(first: float, second: float) -> float:
    """P(first > second) = e^a / (e^a + e^b) with a, b the log-odds of two scores in [0, 1].

    Bradley and Terry (1952). Equal to p(1 - q) / (p(1 - q) + q(1 - p)); 1/2 for two equal scores, also of 0 or 1.
    """
    for_first, for_second = first * (1 - second), second * (1 - first)
    return for_first / (for_first + for_second) if for_first + for_second > 0 else 0.5


def symmetrised(forward: float | None, backward: float | None) -> float | None:
    """P'(1 > 2) = (P(1 > 2) + 1 - P(2 > 1)) / 2, without the bias for one of the two places in a prompt.

    Where one of the two is not known it is the other, read as it is; None where both are not.
    """
    known = [p for p in (forward, None if backward is None else 1 - backward) if p is not None]
    return sum(known) / len(known) if known else None


def label_share(alternatives: Iterable[tuple[str, float]], good: str, bad: str) -> float | None:
    """P(good) / (P(good) + P(bad)) from texts of next tokens with their log-probabilities (nats).

    Case, spaces and quotes around a text do not matter, and a part that begins the word counts as the word; None where
    neither word is among them.
    """
    for_it, against = _beginnings(good), _beginnings(bad)
    yes = no = 0.0
    for text, logprob in alternatives:
        word = text.strip(_AROUND).casefold()
        yes += math.exp(logprob) if word in for_it and word not in against else 0.0
        no += math.exp(logprob) if word in against and word not in for_it else 0.0
    return yes / (yes + no) if yes + no > 0 else None


def begins_word(text: str, word: str) -> bool:
    """True where `label_share` would count this text of a token as the word."""
    return text.strip(_AROUND).casefold() in _beginnings(word)


def yes_share(alternatives: Iterable[tuple[str, float]]) -> float | None:
    """P(Yes) / (P(Yes) + P(No)); see `label_share`."""
    return label_share(alternatives, *YES_NO)


def _beginnings(word: str) -> frozenset[str]:
    plain = word.strip(_AROUND).casefold()
    return frozenset(plain[:n] for n in range(1, len(plain) + 1))


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
