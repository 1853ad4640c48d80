"""What all teachers share: the words of a chain, and how mistakes are built into it (journey style)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Literal

OK = " ok\n"
WAIT = " wait\n"
ANSWER = "So the answer is "
PHRASES = (OK, WAIT, ANSWER)

Mistake = Literal["noticed", "unnoticed"]
WriteStep = Callable[[int, str, Random | None], tuple[str, str]]
"""(step number, state before it, randomness of a mistake or None) -> (the step's text, state after it)."""


def write_chain(
    num_steps: int, start: str, write: WriteStep, mistakes: Sequence[Mistake], seed: int
) -> tuple[list[str], str]:
    """Steps ending in a self-check, and the state after the last one.

    A noticed mistake is a wrong step that checks itself with `wait` and is done again; an unnoticed one carries
    `ok` and the chain goes on from its wrong state. Each mistake hits a step of its own, chosen by the seed.
    """
    rng = Random(seed)
    hit = dict(zip(rng.sample(range(num_steps), min(len(mistakes), num_steps)), mistakes, strict=False))
    steps: list[str] = []
    state = start
    for i in range(num_steps):
        mistake = hit.get(i)
        if mistake == "noticed":
            steps.append(write(i, state, rng)[0] + WAIT)
        text, state = write(i, state, rng if mistake == "unnoticed" else None)
        steps.append(text + OK)
    return steps, state


def other(rng: Random, choices: str, wrong_for: str) -> str:
    """A character of `choices` that is not `wrong_for`."""
    return rng.choice([c for c in choices if c != wrong_for])
