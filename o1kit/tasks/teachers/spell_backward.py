"""Spelling a word backward in chunks of three letters, taken from its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import cast

from o1kit.tasks.teachers.chain import ANSWER, PHRASES, Mistake, write_chain
from o1kit.types import GroundTruth

CHUNK = 3


class SpellBackwardTeacher:
    """`unshade` becomes `ade>eda`, `nsh>hsn`, `u>u`, then the answer `edahsnu`."""

    phrases = (*PHRASES, "Spell this word backward (example: sun -> nus): ")

    def trace(self, truth: GroundTruth, prompt: str, mistakes: Sequence[Mistake], seed: int) -> list[str]:
        """One step a chunk, then the answer."""
        word = cast(str, cast(Mapping[str, object], truth.payload["metadata"])["word"])
        chunks = [word[max(end - CHUNK, 0) : end] for end in range(len(word), 0, -CHUNK)]

        def write(i: int, done: str, rng: Random | None) -> tuple[str, str]:
            reverse = chunks[i][::-1] if rng is None else spoil(chunks[i][::-1], rng)
            return f"{chunks[i]}>{reverse}", done + reverse

        steps, answer = write_chain(len(chunks), "", write, mistakes, seed)
        return [*steps, ANSWER + answer]


def spoil(text: str, rng: Random) -> str:
    """The text with two neighbours exchanged, or a letter changed where that would not show."""
    swaps = [i for i in range(len(text) - 1) if text[i] != text[i + 1]]
    if swaps:
        i = rng.choice(swaps)
        return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    return rng.choice([c for c in "aeioust" if c != text[0]]) + text[1:]
