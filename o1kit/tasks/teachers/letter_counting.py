"""Counting a letter in a text, three letters at a time, with the running total after each three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import cast

from o1kit.tasks.teachers.chain import ANSWER, PHRASES, Mistake, write_chain
from o1kit.types import GroundTruth

CHUNK = 3


class LetterCountingTeacher:
    """`strawberry` with target r becomes `str1awb1err3y3`; the next word goes on from 3. Case does not matter."""

    phrases = (*PHRASES, 'How many times does the letter "', '" appear in the text: "', '"?')

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
    """The word with running totals, and the last of them; with `rng`, one chunk is miscounted by one."""
    chunks = [word[i : i + CHUNK] for i in range(0, len(word), CHUNK)]
    spoiled = rng.randrange(len(chunks)) if rng is not None else -1
    text = []
    for i, chunk in enumerate(chunks):
        hits = chunk.lower().count(target)
        if i == spoiled and rng is not None:
            hits += -1 if hits and rng.random() < 0.7 else 1
        total += hits
        text.append(f"{chunk}{total}")
    return "".join(text), total
