r"""`MathGrader`: both answers are the same mathematical object.

What decides, in this order:

1. the same text, once normalised;
2. the right answer is one letter: the letter of the choice (`B`, `(B)`, `\textbf{(B)}\ 12`, `option B`);
3. the right answer is a number: the exact value of the number that is given (see `numbers`); a decimal may stand for a
   fraction whose expansion does not end if it agrees to one part in a million;
4. math-verify (Kydlicek 2025), which parses LaTeX and compares by sympy: expressions, equations, intervals, sets,
   matrices, percentages, units. Roots, pi and alternatives typed without LaTeX are spelt as LaTeX before (see `plain`).

What is denied (`not 5`) is right only as the same text.

math-verify rounds to six decimals and reads the first of several numbers as it finds them; rule 3 keeps it from that.
Texts that would only keep a computer algebra system busy (towers of powers, deep brackets, very long ones) go no
further than rule 3. sympy would evaluate the digits that math-verify hands it; `guard_numbers` has it read them.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from fractions import Fraction
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from o1kit.errors import EnvironmentFailure
from o1kit.functional.answers import find_answer, last_boxed
from o1kit.tasks.evaluated import guard_numbers
from o1kit.tasks.graders.config import MathConfig
from o1kit.tasks.graders.exact import normalise
from o1kit.tasks.graders.grader import only_in_workers
from o1kit.tasks.graders.numbers import (
    Value,
    denied,
    find_number,
    first_statement,
    other_unit,
    same_value,
    says_otherwise,
    tidy,
    whole_number,
)
from o1kit.tasks.graders.plain import latex
from o1kit.types import GroundTruth

MAX_CHARS, MAX_DEPTH = 500, 8
"""Length and depth of brackets beyond which a text is not parsed."""
CLOSE_ENOUGH = Fraction(1, 10**6)
"""Share by which a decimal may differ from a fraction whose expansion does not end."""
_LETTER = re.compile(r"\(?([A-J])\)?\.?")
_CHOICE = re.compile(
    r"(?:the\s+)?(?:correct\s+)?(?:option|choice|answer)?\s*(?:is\s*)?"
    r"[:(\[\s]*([A-Ja-j])(?:[)\]]+(?:[\s.,:)].*)?|\s*[.,:](?:\s.*)?|\s*)",
    re.DOTALL | re.IGNORECASE,
)
_ANOTHER = re.compile(r"[)\]\s.]*(?:,|/|&|or\b|and\b)\s*(?:or\b|and\b)?\s*\(?[A-J]\b")
_TOWER = re.compile(
    r"(?:\^|\*\*)\s*[{(]*\s*-?[0-9]+\s*(?:\^|\*\*)|(?:\^|\*\*)\s*[{(]*\s*-?[0-9]{4,}|[0-9]{4,}\s*!|!\s*!"
)
_ENVIRONMENT = re.compile(r"\$|\\\(|\\\[")
_TRAILING_WORDS = re.compile(r"(?:[\s,]+[a-z]{2,}(?![a-z(]))+[\s.]*$", re.IGNORECASE)
_NAMED = re.compile(r"[a-zA-Z]\s*=(?!=)\s*")
_BUILDER = re.compile(r"[:|<>]|\\(?:mid|leq?|geq?|lt|gt|in|cup|cap)(?![a-zA-Z])")
_OPEN, _CLOSE = "([{", ")]}"


class MathGrader:
    """Compares by the rules above, math-verify the last of them."""

    name = "math"
    confined = True

    def __init__(self, config: MathConfig) -> None:
        self.config = config
        self.version = f"3 ({_installed()})"

    def check(self) -> None:
        """Raises EnvironmentFailure without math-verify."""
        if _installed().endswith("missing"):
            raise EnvironmentFailure("the grader `math` needs math-verify. Install `math-verify[antlr4_13_2]`.")

    def refuses(self, answer: str) -> str | None:
        """Every text can be compared, as a text if need be."""
        return None

    def prepare(self, truth: GroundTruth) -> None:
        """Imports sympy and parses the right answer."""
        only_in_workers(self.name)
        _right(truth.answer)
        guard_numbers()

    def alike(self, answer: str) -> Hashable:
        """What rules 1 to 3 go by, without math-verify: a letter, a number's value, or the text once normalised."""
        return _plainly(answer)

    def score(self, truth: GroundTruth, answer: str | None) -> float:
        """1 when the answer is the right one by the rules above, else 0."""
        only_in_workers(self.name)
        if answer is None:
            return 0.0
        credit = decided(truth.answer, answer)
        if credit is not None:
            return credit
        right = _parsed(f"${latex(_inner(_right(truth.answer)[0]))}$")
        return float(any(_verify(right, _parse(form)) for form in _forms(*_given(answer))))


def decided(right: str, answer: str) -> float | None:
    """What the rules before math-verify say of an answer; None where it has to be asked."""
    text = _given(answer)[0]
    gold, letter, number = _right(right)
    if not text or _same_text(text, gold):
        return float(bool(text))
    if letter is not None:
        return float(_letter_of(find_answer(answer, "final") or answer) == letter)
    if number is not None and (given := find_number(text)) is not None:
        same = same_value(given, number, _tolerance(given, number))
        return float(same and not other_unit(text, gold))
    return 0.0 if _costly(text) or denied(text) or says_otherwise(text) or _other_brackets(text, gold) else None


def _given(answer: str) -> tuple[str, bool]:
    """What an answer states, and whether that was in a box, whose end is known."""
    boxed = last_boxed(answer)
    text = find_answer(answer, "final") or answer
    if boxed is not None and boxed[1] == text:
        return text, True
    return first_statement(text), False


@lru_cache(maxsize=4096)
def _right(answer: str) -> tuple[str, str | None, Value | None]:
    """A right answer as text, as the letter of a choice, and as a number, where it is one."""
    _math_verify()
    text = find_answer(answer, "final") or answer.strip()
    letter = _LETTER.fullmatch(_inner(tidy(text)))
    return text, letter.group(1) if letter else None, whole_number(text)


@lru_cache(maxsize=4096)
def _plainly(answer: str) -> Hashable:
    text = _inner(_given(answer)[0])
    if named := _NAMED.match(text):
        text = text[named.end() :]
    plain = _inner(tidy(text))
    if letter := _LETTER.fullmatch(plain.upper()):
        return letter.group(1)
    number = whole_number(text)
    return normalise(plain) if number is None else (number.number, number.percent)


def _same_text(left: str, right: str) -> bool:
    return normalise(_inner(tidy(left))) == normalise(_inner(tidy(right)))


def _letter_of(text: str) -> str | None:
    """The letter of the one choice that an answer makes."""
    match = _CHOICE.fullmatch(_inner(tidy(text[:MAX_CHARS])))
    if match is None or _ANOTHER.match(match.string, match.end(1)):
        return None
    return match.group(1).upper()


def _tolerance(one: Value, other: Value) -> Fraction:
    """How far two numbers may be apart: not at all, unless one has no end as a decimal and the other is one."""
    ends = _ends(one.number), _ends(other.number)
    return CLOSE_ENOUGH * abs(other.number) if ends[0] != ends[1] else Fraction(0)


def _ends(number: Fraction) -> bool:
    """True when the decimal expansion ends: the denominator has no prime factors but 2 and 5."""
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _costly(text: str) -> bool:
    if len(text) > MAX_CHARS or _TOWER.search(text) or not all(c.isprintable() or c in "\n\t" for c in text):
        return True
    depth = deepest = 0
    for character in text:
        depth += (character in _OPEN) - (character in _CLOSE)
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH


def _other_brackets(left: str, right: str) -> bool:
    """True for a set by its members against a tuple or an interval, which math-verify holds equal."""
    return {_brackets(left), _brackets(right)} == {"set", "tuple"}


def _brackets(text: str) -> str | None:
    plain = _inner(tidy(text))
    if plain.startswith(r"\{") and plain.endswith(r"\}"):
        return None if _BUILDER.search(plain) else "set"
    return "tuple" if plain[:1] in tuple("([") and plain[-1:] in tuple(")]") else None


def _forms(text: str, boxed: bool) -> list[str]:
    """LaTeX to be parsed, until one is right: as it stands, and without the words that trail it."""
    if not boxed and _ENVIRONMENT.search(text):
        return [text]
    inner = latex(_inner(text))
    bare = _TRAILING_WORDS.sub("", inner)
    return [f"${form}$" for form in dict.fromkeys((inner, bare)) if form]


def _inner(text: str) -> str:
    return text.strip().strip("$").strip().removesuffix(".").strip()


@lru_cache(maxsize=4096)
def _parsed(latex: str) -> Any:
    return _parse(latex)


def _parse(latex: str) -> Any:
    """What math-verify makes of a text. Its own time limit would take the worker's timer away, so it gets none."""
    library, rules = _math_verify()
    return library.parse(latex, rules, parsing_timeout=None)


def _verify(right: Any, given: Any) -> bool:
    library, _ = _math_verify()
    return bool(library.verify(right, given, allow_set_relation_comp=True, timeout_seconds=None))


@cache
def _math_verify() -> tuple[Any, list[Any]]:
    """The library and what it extracts: LaTeX only. Its rules for plain expressions would evaluate them."""
    library = import_module("math_verify")
    return library, [library.LatexExtractionConfig(boxed_match_priority=0)]


@cache
def _installed() -> str:
    try:
        return f"math-verify {version('math-verify')}"
    except PackageNotFoundError:
        return "math-verify missing"
