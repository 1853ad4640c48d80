"""Counting a letter in a text, word by word, with the running count behind each hit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import cast

from o1kit.tasks.teachers.chain import ANSWER, PHRASES, Mistake, write_chain
from o1kit.types import GroundTruth

COUNTS = tuple(f"({n})" for n in range(1, 40))


class LetterCountingTeacher:
    """`strawberry` with target r becomes `str(1)awber(2)r(3)y=3`; the next word goes on from 3. Case is ignored."""

    phrases = (*PHRASES, *COUNTS, 'How many times does the letter "', '" appear in the text: "', '"?')

    def trace(self, truth: GroundTruth, prompt: str, mistakes: Sequence[Mistake], seed: int) -> list[str]:
        """One step a word, then the answer."""
        metadata = cast(Mapping[str, object], truth.payload["metadata"])
        target = cast(str, metadata["target_letter"])
        words = cast(Sequence[str], metadata["span"])

        def write(i: int, total: str, rng: Random | None) -> tuple[str, str]:
            text, after = count(words[i], target, int(total), rng)
            return text, str(after)

        steps, total = write_chain(len(words), "0", write, mistakes, seed)
        return [*steps, ANSWER + total]


def count(word: str, target: str, total: int, rng: Random | None) -> tuple[str, int]:
    """The word with the running count behind each hit, and the count; `rng` misses a hit or sees one too many."""
    hits = {i for i, letter in enumerate(word) if letter.lower() == target}
    if rng is not None:
        missed = bool(hits) and (rng.random() < 0.7 or len(hits) == len(word))
        others = sorted(hits) if missed else [i for i in range(len(word)) if i not in hits]
        hits ^= {rng.choice(others)}
    text = []
    for i, letter in enumerate(word):
        text.append(letter)
        if i in hits:
            total += 1
            text.append(f"({total})")
    return f"{''.join(text)}={total}", total
