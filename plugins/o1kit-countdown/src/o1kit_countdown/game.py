"""The rules: operations on whole numbers, problems that can be solved, and the value of an expression."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from random import Random
from typing import NamedTuple

OPERATIONS = "+-*/"
LONGEST = 200
"""Characters of an expression that is read; a model may write anything."""
_TOKEN = re.compile(r"\s*([0-9]{1,9}|[-+*/()])")


class Step(NamedTuple):
    """Two numbers, by their places in the list, joined by an operation; the result goes to the end of the list."""

    first: int
    second: int
    operation: str


class Game(NamedTuple):
    """Numbers, the target, and one way to it."""

    numbers: tuple[int, ...]
    target: int
    steps: tuple[Step, ...]


def join(operation: str, a: int, b: int) -> int | None:
    """The result in whole numbers; None where there is none."""
    if operation == "/":
        return a // b if b and a % b == 0 else None
    return {"+": a + b, "-": a - b, "*": a * b}[operation]


def deal(rng: Random, num_numbers: int, max_number: int, max_target: int) -> Game | None:
    """A game that a random way of joining leads to; None where that way leads nowhere."""
    numbers = [rng.randint(1, max_number) for _ in range(num_numbers)]
    values, steps = list(numbers), []
    while len(values) > 1:
        first, second = rng.sample(range(len(values)), 2)
        step = Step(first, second, rng.choice(OPERATIONS))
        value = join(step.operation, values[first], values[second])
        if value is None or value < 1:
            return None
        values = [*(v for i, v in enumerate(values) if i not in (first, second)), value]
        steps.append(step)
    return Game(tuple(numbers), values[0], tuple(steps)) if values[0] <= max_target else None


def written(operation: str, a: str, b: str) -> str:
    """Two expressions joined, with parentheses where they are needed."""
    sums, product = re.compile(r"[-+](?![^(]*\))"), operation in "*/"
    left = f"({a})" if product and sums.search(a) else a
    right = f"({b})" if (product and re.search(r"[-+*/]", b)) or (operation == "-" and sums.search(b)) else b
    return f"{left}{operation}{right}"


def value_of(text: str) -> tuple[Fraction, Counter[int]] | None:
    """What an expression is worth and which numbers it uses; None where it is no expression."""
    if len(text) > LONGEST:
        return None
    tokens, at = [], 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            return None
        tokens.append(match[1])
        at = match.end()
    reader = _Reader(tokens)
    try:
        found = reader.sum()
    except (ZeroDivisionError, IndexError, ValueError):
        return None
    return (found, Counter(reader.used)) if reader.at == len(tokens) else None


class _Reader:
    """Reads tokens by recursive descent; as deep as there are parentheses, and those are bounded by the length."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens, self.at, self.used = tokens, 0, list[int]()

    def sum(self) -> Fraction:
        value = self.product()
        while self.next_in("+-"):
            operation = self.take()
            other = self.product()
            value = value + other if operation == "+" else value - other
        return value

    def product(self) -> Fraction:
        value = self.number()
        while self.next_in("*/"):
            operation = self.take()
            other = self.number()
            value = value * other if operation == "*" else value / other
        return value

    def number(self) -> Fraction:
        token = self.take()
        if token == "(":
            value = self.sum()
            if self.take() != ")":
                raise ValueError("no closing parenthesis")
            return value
        self.used.append(int(token))
        return Fraction(int(token))

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def next_in(self, choices: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at] in choices
