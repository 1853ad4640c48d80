"""The choice that was probably meant: the one that the fewest slips of the hand lead to."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 100
"""Longer words are nobody's slip of the hand."""
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_PLACES = {letter: (i, j + i / 2) for i, row in enumerate(_ROWS) for j, letter in enumerate(row)}


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that a word was probably meant to be; None if it is like none of them.

    Nearest is what needs the fewest insertions, deletions, substitutions and swaps of neighbouring letters; then what
    has the letters in question next to one another on the keyboard. Failing that, a choice that the word is a part of.
    """
    known = [choice for choice in choices if len(choice) <= LONGEST]
    if len(word) > LONGEST or not known:
        return None
    plain = _plain(word)
    count, _, found = min((slips(plain, _plain(choice)), _reach(plain, _plain(choice)), choice) for choice in known)
    if count <= max(1, (min(len(word), len(found)) + 1) // 3):
        return found
    parts = [choice for choice in known if len(plain) > 2 and (plain in _plain(choice) or _plain(choice) in plain)]
    if parts:
        return min(parts, key=lambda choice: abs(len(choice) - len(word)))
    import difflib

    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None)


def slips(one: str, other: str) -> int:
    """How many insertions, deletions, substitutions and swaps of neighbours make one word of the other.

    This is the optimal string alignment distance: Damerau's and Levenshtein's, where no letter is moved twice.
    """
    shared = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    one, other = one[shared:], other[shared:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and b == one[i - 2]:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _plain(word: str) -> str:
    return word.lower().replace("-", "_").replace(" ", "_")


def _reach(one: str, other: str) -> float:
    """For words of one length: how far apart on the keyboard the letters are in which they differ."""
    if len(one) != len(other):
        return 0.0
    far = 0.0
    for a, b in zip(one, other, strict=True):
        if a != b:
            (ya, xa), (yb, xb) = _PLACES.get(a, (9, 9)), _PLACES.get(b, (9, 9))
            far += abs(ya - yb) + abs(xa - xb)
    return far
