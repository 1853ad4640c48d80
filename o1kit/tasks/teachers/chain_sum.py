"""Sums and differences term by term, each worked digit by digit from the low end with carry or borrow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import cast

from o1kit.tasks.teachers.chain import ANSWER, PHRASES, Mistake, other, write_chain
from o1kit.types import GroundTruth

_TERM = re.compile(r"([+-]?)\s*(\d+)")


class ChainSumTeacher:
    """`47+38` becomes `47+38:7+8=5^4+3^=8,;85`; a result below zero is worked as the negated difference.

    A column such as `7+8=` or, with a carry, `4+3^=` is a phrase of its own: its digit is then one look-up.
    """

    phrases = (
        *PHRASES,
        "State the final answer to the following arithmetic problem: ",
        *(f"{x}{sign}{y}{carry}=" for x in range(10) for y in range(10) for sign in "+-" for carry in ("", "^")),
    )

    def trace(self, truth: GroundTruth, prompt: str, mistakes: Sequence[Mistake], seed: int) -> list[str]:
        """One step a term after the first, then the answer."""
        metadata = cast(Mapping[str, object], truth.payload["metadata"])
        terms = [(sign or "+", digits) for sign, digits in _TERM.findall(cast(str, metadata["expression"]))]

        def write(i: int, total: str, rng: Random | None) -> tuple[str, str]:
            sign, digits = terms[i + 1]
            return work(total, sign, digits, rng)

        steps, total = write_chain(len(terms) - 1, terms[0][1], write, mistakes, seed)
        return [*steps, ANSWER + total]


def work(total: str, sign: str, term: str, rng: Random | None) -> tuple[str, str]:
    """The text of one step and the new total."""
    a, b = int(total), int(term)
    value = a + b if sign == "+" else a - b
    if (a < 0) == (sign == "-"):
        operation, big, small = "+", abs(a), b
    else:
        operation, big, small = "-", max(abs(a), b), min(abs(a), b)
    digits, magnitude = columns(big, small, operation, rng)
    result = ("-" if value < 0 else "") + magnitude
    if result == "-0":
        result = "0"
    shown = f"{total}{sign}{term}"
    plain = f"{big}{operation}{small}"
    head = shown if shown == plain else f"{shown}>{'-' if value < 0 else ''}{plain}"
    return f"{head}:{digits};{result}", result


def columns(big: int, small: int, operation: str, rng: Random | None) -> tuple[str, str]:
    """The digit columns from the low end, and the result; `^` marks a carry or borrow. `rng` spoils one digit."""
    a, b = str(big)[::-1], str(small)[::-1]
    length = max(len(a), len(b))
    spoiled = rng.randrange(length) if rng is not None else -1
    text, out, carry = [], [], 0
    for i in range(length):
        x, y = int(a[i : i + 1] or 0), int(b[i : i + 1] or 0)
        mark = "^" if carry else ""
        value = x + y + carry if operation == "+" else x - y - carry
        carry = int(value > 9 or value < 0)
        digit = str(value % 10)
        if i == spoiled and rng is not None:
            digit = other(rng, "0123456789", digit)
        out.append(digit)
        text.append(f"{x}{operation}{y}{mark}={digit}{'^' if carry else ','}")
    if operation == "+" and carry:
        out.append("1")
    return "".join(text), "".join(out)[::-1].lstrip("0") or "0"
