"""The nearest choice: distances checked against a search over edits, and what people write."""

from __future__ import annotations

from itertools import product

import pytest

from o1kit.nearest import LONGEST, nearest, slips

LETTERS = "ab"


def one_slip(word: str) -> set[str]:
    """All words that one slip makes of a word."""
    found = {word[:i] + word[i + 1 :] for i in range(len(word))}
    found |= {word[:i] + letter + word[i:] for i in range(len(word) + 1) for letter in LETTERS}
    found |= {word[:i] + letter + word[i + 1 :] for i in range(len(word)) for letter in LETTERS}
    return found | {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}


@pytest.mark.parametrize("word", ["".join(letters) for n in range(5) for letters in product(LETTERS, repeat=n)])
def test_one_and_two_slips_are_counted_as_such(word: str) -> None:
    one = one_slip(word) - {word}
    assert slips(word, word) == 0
    assert {slips(word, other) for other in one} <= {1}
    two = {further for other in one for further in one_slip(other)} - one - {word}
    # Where a letter would be moved twice the distance is larger: ab, ba, bxa.
    assert all(slips(word, other) in (2, 3) for other in two)
    assert all(slips(other, word) == slips(word, other) for other in one | two)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("stpes", "steps"),
        ("Steps", "steps"),
        ("num-layers", "num_layers"),
        ("hidden", "hidden_size"),
        ("lerning_rate", "learning_rate"),
        ("sept", "steps"),
        ("", None),
        ("banana", None),
        ("s" * (LONGEST + 1), None),
    ],
)
def test_what_people_write(word: str, meant: str | None) -> None:
    assert nearest(word, ["steps", "num_layers", "hidden_size", "learning_rate", "batch_size"]) == meant


def test_the_keyboard_decides_between_equals() -> None:
    assert nearest("top_o", ["top_k", "top_p"]) == "top_p"
    assert nearest("top_j", ["top_k", "top_p"]) == "top_k"


def test_no_choices() -> None:
    assert nearest("x", []) is None
