"""Arithmetic that a text states: which equations it holds, and whether they are true. Exact, without `eval`.

`12 + 30 = 42`, `(3+4)*5 = 35`, `1,000 / 8 = 125`, `48/2=24`, `10 / 3 = 3.33` (true as rounded), `2 + 3 = 5 = 10 / 2`.
What is not numbers and + - * / × ÷ ( ) alone, such as `x + 3 = 8`, is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

LONGEST = 200
"""Characters of an expression, or of a line that is compared with a form, that are still read."""
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
TOKEN = re.compile(rf"\s*({NUMBER}|[-+*/()×÷−])")
STATED = re.compile(r"[-+*/()×÷−\d.,$=\s]+")
"""A stretch of text in which an equation may stand."""
BOUND = re.compile(r"[\w^%)\]}]$")
"""Right before a stretch: it goes on with what is computed there, as in `2^3 + 1 = 9`."""
BOUND_BY_SIGN = re.compile(r"[\w^%)\]}]\s*$")
"""The same where the stretch begins with a sign, as in `x + 3 = 8`."""
SIGN_FIRST = re.compile(r"\s*[-+*/×÷−(]")
BULLET = re.compile(r"\s*[-−]\s")
SIGNS = {"×": "*", "÷": "/", "−": "-"}
Claim = tuple[str, ...]
"""The sides of an equation, in order."""


def value(expression: str) -> Fraction | None:
    """What an arithmetic expression is worth; None if it is none, is too long, or divides by zero."""
    tokens = _tokens(expression)
    if not tokens:
        return None
    try:
        found, rest = _sum(tokens)
    except (IndexError, ValueError, ZeroDivisionError, RecursionError):
        return None
    return None if rest else found


def _tokens(expression: str) -> list[str]:
    text, at, found = expression.replace("$", "").strip(), 0, list[str]()
    while at < len(text) <= LONGEST:
        match = TOKEN.match(text, at)
        if match is None:
            return []
        found.append(SIGNS.get(match[1], match[1]))
        at = match.end()
    return found


def _sum(tokens: Sequence[str]) -> tuple[Fraction, Sequence[str]]:
    total, tokens = _product(tokens)
    while tokens and tokens[0] in "+-":
        term, rest = _product(tokens[1:])
        total, tokens = (total + term if tokens[0] == "+" else total - term), rest
    return total, tokens


def _product(tokens: Sequence[str]) -> tuple[Fraction, Sequence[str]]:
    total, tokens = _factor(tokens)
    while tokens and tokens[0] in "*/":
        factor, rest = _factor(tokens[1:])
        total, tokens = (total * factor if tokens[0] == "*" else total / factor), rest
    return total, tokens


def _factor(tokens: Sequence[str]) -> tuple[Fraction, Sequence[str]]:
    if tokens[0] in ("-", "+"):
        factor, rest = _factor(tokens[1:])
        return (-factor if tokens[0] == "-" else factor), rest
    if tokens[0] == "(":
        inner, rest = _sum(tokens[1:])
        if not rest or rest[0] != ")":
            raise ValueError("a bracket is not closed")
        return inner, rest[1:]
    return Fraction(tokens[0].replace(",", "")), tokens[1:]


def holds(claim: Claim) -> bool | None:
    """Whether all sides are equal, a decimal as far as it is written out; None if a side is no arithmetic."""
    values = [value(side) for side in claim]
    if None in values:
        return None
    return all(_equal(a, b, x, y) for (a, b), (x, y) in zip(pairwise(claim), pairwise(values), strict=True))  # type: ignore[arg-type]


def _equal(left: str, right: str, x: Fraction, y: Fraction) -> bool:
    return x == y or any(abs(x - y) <= _half_unit(side) for side in (left, right))


def _half_unit(side: str) -> Fraction:
    """Half of the last place of a side that is a lone decimal, by which it may differ where it is rounded."""
    decimals = re.fullmatch(r"\s*[-−$\s]*[\d,]*\.(\d+)\s*", side)
    return Fraction(1, 2 * 10 ** len(decimals[1])) if decimals else Fraction(0)


def claims(text: str) -> Iterator[Claim]:
    """The equations that a text states, where one side at least computes something."""
    for stretch in STATED.finditer(text):
        for line in _lines(text, stretch):
            sides = tuple(side.strip(" \t.,") for side in line.split("="))
            if len(sides) > 1 and any(len(_tokens(side)) > 2 for side in sides) and holds(sides) is not None:
                yield sides


def _lines(text: str, stretch: re.Match[str]) -> Iterator[str]:
    """The lines of a stretch, less what belongs to words and symbols around it."""
    lines = stretch[0].split("\n")
    before, after = text[max(stretch.start() - 2, 0) : stretch.start()], text[stretch.end() : stretch.end() + 1]
    gap = stretch[0][: len(stretch[0]) - len(stretch[0].lstrip(" "))]
    bound = BOUND_BY_SIGN if SIGN_FIRST.match(lines[0]) else BOUND
    if bound.search(before + gap) and not lines[0].lstrip().startswith("="):
        lines[0] = ""
    if re.match(r"[\w^%(\[{]", after) and re.search(r"[-+*/×÷−\d(]$", lines[-1]):
        lines[-1] = ""
    named = (re.sub(r"^\s*=", "", line) for line in lines)  # `total = 3 * 4 = 12` states what follows the name
    yield from (line for line in named if not BULLET.match(line))


class Form:
    """How a line states an equation: `{left}` and `{right}` in it are arithmetic, `*` is anything.

    For example `{left} is {right}.`, or `{left}:*;{right} *`. The line may be indented.

    Raises:
        ValueError: `{left}` and `{right}` are not in it once each, or `*` is more than twice.
    """

    def __init__(self, form: str) -> None:
        pieces = re.split(r"(\{left\}|\{right\}|\*)", form.strip())
        if sorted(pieces.count(name) for name in ("{left}", "{right}")) != [1, 1]:
            raise ValueError("a form holds {left} and {right} once each, and `*` for anything")
        if pieces.count("*") > 2:
            raise ValueError("a form holds `*` at most twice")
        arithmetic = r"([-+*/()×÷−\d.,$ ]+)"
        places = {"{left}": arithmetic, "{right}": arithmetic, "*": ".*?"}
        self.left_first = pieces.index("{left}") < pieces.index("{right}")
        self.pattern = re.compile("".join(places.get(piece, re.escape(piece)) for piece in pieces))

    def claim(self, line: str) -> Claim | None:
        """The equation that a line states in this form, or None."""
        found = self.pattern.fullmatch(line.strip()) if len(line) <= LONGEST else None
        if found is None or holds(sides := (found[1], found[2])) is None:
            return None
        return sides if self.left_first else sides[::-1]


def false_claims(text: str, forms: Sequence[Form] = ()) -> int:
    """How many equations of a text are false: those in one of the forms (the first that a line has), or any."""
    if not forms:
        return sum(not holds(claim) for claim in claims(text))
    found = (next((c for form in forms if (c := form.claim(line)) is not None), None) for line in text.split("\n"))
    return sum(claim is not None and not holds(claim) for claim in found)
