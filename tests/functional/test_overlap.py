"""Overlap of texts against brute force, and by hand."""

from __future__ import annotations

import random

import pytest

from o1kit.functional.overlap import COMMON_LEAST, KnownTexts, normalised, words


def brute_force(text: str, known: list[str], n: int) -> float:
    """The share with n-grams as tuples of words, the common ones left out."""

    def grams(line: list[str], size: int) -> set[tuple[str, ...]]:
        return {tuple(line[i : i + size]) for i in range(len(line) - size + 1)}

    line = words(text)
    size = n if len(line) >= n else min(n, 8)
    if len(line) < size:
        return float(any(words(other) == line for other in known))
    counts: dict[tuple[str, ...], int] = {}
    for other in known:
        for gram in grams(words(other), size):
            counts[gram] = counts.get(gram, 0) + 1
    common = {gram for gram, count in counts.items() if count > max(0.01 * len(known), COMMON_LEAST)}
    mine = grams(line, size) - common
    return len(mine & counts.keys()) / len(mine) if mine else 0.0


@pytest.mark.parametrize("n", [2, 3, 13])
def test_shares_are_those_of_brute_force(n: int) -> None:
    chance = random.Random(n)
    texts = [" ".join(chance.choices("abcd", k=chance.randrange(25))) for _ in range(60)]
    index = KnownTexts(texts[:40], n)
    for text in texts:
        assert index.find(text).share == pytest.approx(brute_force(text, texts[:40], n)), text


def test_exact_and_normalised() -> None:
    index = KnownTexts(["What is 2 + 3.5?", "Spell: sun"])
    assert index.find("What is 2 + 3.5?")[2:] == (True, True)
    assert index.find("what  IS: ２ + 3.5")[2:] == (False, True)
    assert index.find("spell 'sun'.")[2:] == (False, True)
    for other in ("What is 2 - 3.5?", "What is 2 + 35?", "What is 2 + 3?"):
        assert index.find(other) == (0.0, None, False, False)
    assert normalised("Ａ-b,  “C”! 1,000.") == "a-b c 1,000"


def test_the_nearest_known_text_is_named() -> None:
    index = KnownTexts(["x y z", "a b c d e f", "a b c x x x x"], 2)
    found = index.find("a b c d e q")
    assert (found.share, found.nearest) == (pytest.approx(4 / 5), 1)
    assert KnownTexts([], 2).find("a b c") == (0.0, None, False, False)


def test_the_same_text_is_nearer_than_one_that_shares_its_ngrams() -> None:
    index = KnownTexts(["a b c d e f", "A b c!", "a b c"], 2)
    assert index.find("a b c").nearest == 2
    assert index.find("a, b c").nearest == 1, "the first that differs in marks and case only"


def test_a_template_tells_nothing() -> None:
    """Problems of one template share their words; what differs decides."""
    chance = random.Random(0)
    made = [f"How many apples are left of {i} if Ann eats {chance.randrange(999)} each day?" for i in range(600)]
    index = KnownTexts(made[:500], 4)
    assert index.ignored > 0
    assert index.find(made[3]).share == 1.0
    assert sum(index.find(text).share > 0.8 for text in made[500:]) == 0
    few = KnownTexts(made[:5], 4)
    assert few.ignored == 0, "of few texts nothing is common"


def test_it_is_fast() -> None:
    chance = random.Random(0)
    texts = [" ".join(chance.choices([f"w{i}" for i in range(500)], k=30)) for _ in range(3000)]
    index = KnownTexts(texts)
    assert all(index.find(text).share == 1 for text in texts[:300])
