"""Whether problems were seen before: exact, normalised and n-gram overlap of texts. Plain Python and numpy.

Words become random 64-bit numbers, an n-gram of words w_1 ... w_n their polynomial sum_i h(w_i) M^(n-i) mod 2^64, for
all texts at once. Two different n-grams of a corpus with N of them meet by chance with a probability near N^2 / 2^65.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SHORT = 8
"""Length of the n-grams of a text that has no longer ones."""
COMMON_SHARE, COMMON_LEAST = 0.01, 10
"""An n-gram in more than this share of the known texts, and in more than so many, is a template's: it tells nothing."""
_SENTENCE_MARKS = re.compile(r"(?<!\d)[.,]|[.,](?!\d)|[;:!?\"'`\u2018-\u201f\u2026]")
_WORDS = re.compile(r"\w+|[^\w\s]")
_MULTIPLIER = 0x9E3779B97F4A7C15
Hashes = NDArray[np.uint64]


class Match(NamedTuple):
    """How far a text is known: the share of its n-grams that are, and the number of the known text nearest to it."""

    share: float
    nearest: int | None
    """The very same one, else the one that differs in case and the like only, else the one that has most of them."""
    exact: bool
    """The very same text is known."""
    normalised: bool
    """A text is known that differs in case, spacing and sentence marks at most."""


def normalised(text: str) -> str:
    """A text without case, sentence marks and superfluous blanks, full-width forms made plain.

    Signs that may be operators stay, and points and commas within numbers: 2 + 3 is not 2 - 3, and 3.5 not 35.
    """
    return " ".join(_SENTENCE_MARKS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).split())


def words(text: str) -> list[str]:
    """Words and single signs of a text, in small letters: `12 + 3` differs from `12 - 3`."""
    return _WORDS.findall(unicodedata.normalize("NFKC", text).casefold())


class KnownTexts:
    """An index of texts, against which others are looked up.

    Args:
        texts: what is known, for example all training problems.
        n: length of an n-gram in words; texts shorter than that are compared by n-grams of 8, and as a whole if they
            are still shorter.
    """

    def __init__(self, texts: Sequence[str], n: int = 13) -> None:
        self.n = n
        last_first = list(enumerate(texts))[::-1]  # the first of equal ones stays
        self._exact = {text: i for i, text in last_first}
        self._normalised = {normalised(text): i for i, text in last_first}
        self._ids: dict[str, int] = {}
        split = [self._numbers(text) for text in texts]
        self._tables = {size: _table(split, size) for size in {n, min(n, SHORT)}}
        self._whole = {line.tobytes(): i for i, line in reversed(list(enumerate(split)))}

    def find(self, text: str) -> Match:
        """How far a text is known."""
        share, nearest = self._share(self._numbers(text))
        exact, plain = self._exact.get(text), self._normalised.get(normalised(text))
        same = exact if exact is not None else plain
        return Match(share, nearest if same is None else same, exact is not None, plain is not None)

    @property
    def ignored(self) -> int:
        """How many n-grams (of the length asked for) are too common to tell anything."""
        return int(self._tables[self.n].common.size)

    def _share(self, line: Hashes) -> tuple[float, int | None]:
        size = self.n if len(line) >= self.n else min(self.n, SHORT)
        if len(line) < size:
            same = self._whole.get(line.tobytes())
            return float(same is not None), same
        table, grams = self._tables[size], np.unique(ngrams(line, size))
        grams = grams[~np.isin(grams, table.common)]
        if not grams.size:
            return 0.0, None
        places = np.searchsorted(table.grams, grams)
        inside = places < table.grams.size
        known = places[inside][table.grams[places[inside]] == grams[inside]]
        if not known.size:
            return 0.0, None
        owners, counts = np.unique(table.first[known], return_counts=True)
        return float(known.size / grams.size), int(owners[counts.argmax()])

    def _numbers(self, text: str) -> Hashes:
        """A random number for each word, the same in every process."""
        found = []
        for word in words(text):
            if word not in self._ids:
                self._ids[word] = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")
            found.append(self._ids[word])
        return np.array(found, dtype=np.uint64)


class _Table(NamedTuple):
    """The n-grams of all known texts: those that tell something, sorted, with the first text of each; the others."""

    grams: Hashes
    first: NDArray[np.int64]
    common: Hashes


def ngrams(line: Hashes, n: int) -> Hashes:
    """A number for each n-gram of a sequence of numbers; none for a shorter one."""
    count = len(line) - n + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64)
    found = np.zeros(count, dtype=np.uint64)
    for i in range(n):
        found = found * np.uint64(_MULTIPLIER) + line[i : i + count]
    return found


def _table(split: Sequence[Hashes], n: int) -> _Table:
    found = [ngrams(line, n) for line in split]
    owners = np.repeat(np.arange(len(found)), [len(grams) for grams in found])
    everything = np.concatenate([np.zeros(0, dtype=np.uint64), *found])
    order = np.lexsort((owners, everything))
    everything, owners = everything[order], owners[order]
    # How many texts hold an n-gram, not how often: repeats within one text count once.
    fresh = np.ones(len(everything), dtype=bool)
    fresh[1:] = (everything[1:] != everything[:-1]) | (owners[1:] != owners[:-1])
    grams, first, counts = np.unique(everything[fresh], return_index=True, return_counts=True)
    common = counts > max(COMMON_SHARE * len(split), COMMON_LEAST)
    return _Table(grams[~common], owners[fresh][first][~common], grams[common])
