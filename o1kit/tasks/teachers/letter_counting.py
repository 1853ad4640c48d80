"""Counting a letter in a text, word by word: each hit is replaced by its running number in the word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import cast

from o1kit.tasks.teachers.chain import ANSWER, PHRASES, Mistake, write_chain
from o1kit.types import GroundTruth


class LetterCountingTeacher:
    """`strawberry` with target r becomes `st1awbe23y+3=3`: the word, its hits numbered, its count, the total."""

    phrases = (*PHRASES, 'How many times does the letter "', '" appear in the text: "', '"?')

    def trace(self, truth: GroundTruth, prompt: str, mistakes: Sequence[Mistake], seed: int) -> list[str]:
        """One step a word, then the answer."""
        metadata = cast(Mapping[str, object], truth.payload["metadata"])
        target = cast(str, metadata["target_letter"])
        words = cast(Sequence[str], metadata["span"])

        def write(i: int, total: str, rng: Random | None) -> tuple[str, str]:
            marked, count = mark(words[i], target, rng)
            after = str(int(total) + count)
            return f"{marked}+{count}={after}", after

        steps, total = write_chain(len(words), "0", write, mistakes, seed)
        return [*steps, ANSWER + total]


def mark(word: str, target: str, rng: Random | None) -> tuple[str, int]:
    """The word with its hits numbered, and their count; with `rng`, one hit is missed or one letter too many taken."""
    hits = [i for i, c in enumerate(word) if c.lower() == target]
    true_count = len(hits)
    if rng is not None:
        if hits and rng.random() < 0.7:
            hits.remove(rng.choice(hits))
        else:
            hits = sorted({*hits, rng.randrange(len(word))}) if len(hits) < len(word) else hits[1:]
            if len(hits) == true_count:
                hits = hits[1:] if hits else [0]
    numbers = {i: str((n + 1) % 10) for n, i in enumerate(hits)}
    return "".join(numbers.get(i, c) for i, c in enumerate(word)), len(hits)
