r"""Numbers as people and models write them, read exactly: `1,234.50`, `$18`, `50%`, `3/4`, `\frac{3}{4}`, `1.5e3`.

Nothing is evaluated. A number is a fraction of whole numbers with bounded digits, so no text can make it large: what
is beyond the bounds, and what is not one number but an expression (`9**9`, `2 + 3`, `1,2`), is no number.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

MAX_DIGITS, MAX_EXPONENT = 400, 400
"""Digits of a numerator or denominator, and powers of ten, beyond which a text is no number."""
MAX_CHARS = 2000
"""So much of an answer is read."""
_WORDS = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SPACES = re.compile(r"\\[,;:! ]|[\u00a0\u2007\u2009\u202f~]")
_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
_BOLD = r"(?<!\S)\*\*(?=[^\s*])|(?<=[^\s*])\*\*(?=[\s.,;:!?]|$)"
_DROPPED = re.compile(rf"\\(?:left|right|displaystyle|approx|therefore|implies|quad|qquad|\(|\)|\[|\])|{_BOLD}|`")
_CURRENCY = re.compile(r"\\?\$|[€£¥₹₽₩₺]|\b(?:USD|EUR|GBP|US)\b")
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-zA-Z]))|\\degree(?![a-zA-Z])")
_RELATION = re.compile(r"[<>≤≥≠]|\\(?:le|ge|leq|geq|lt|gt|ne|neq|in|pm)(?![a-zA-Z])")
_SENTENCE = re.compile(r"(?<=[^\s.])[.!?;](?=\s)|[\r\n]+")
_FUNCTION = re.compile(
    r"\\[a-zA-Z]|(?:\b(?:sqrt|roots?(?:\s+of)?|log|ln|lg|sin|cos|tan|exp|abs|floor|ceil|max|min|gcd|lcm|mod)\s*\(?\s*"
    r"|[a-zA-Z]\(\s*|(?:[√∛|⌊⌈]|\\\{|_\s*\{?)\s*)$"
)
_NOT = r"(?:\b(?:not|never|neither|nor|cannot)\b|n['’]t\b)"
_DENIED = re.compile(_NOT, re.IGNORECASE)
_DENIED_TERM = re.compile(_NOT + r"(?:\s+equals?(?:\s+to)?)?(?:\s+\S{1,20})?\s*$", re.IGNORECASE)
_UNIT = re.compile(r"[.\s]*|-?[a-zA-Z°µ]{1,20}(?:[\s./-]+[a-zA-Z°µ]{1,20}){0,5}(?:\s*\^\s*\{?[23]\}?|[²³])?[.\s]*")
_DIGIT = re.compile("[0-9½⅓⅔¼¾⅕⅛]")
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8"}
_PLAIN = r"(?:[0-9]{1,3}(?:(?:,|\{,\})[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"
_POWER = r"10\s*(?:\^|\*\*)\s*(?:\{\s*(?P<{0}1>[-+]?[0-9]+)\s*\}|(?P<{0}2>[-+]?[0-9]+))"
_GROUP = r"\s*(?:\{\s*(?P<{0}>[0-9]+)\s*\}|(?P<{0}1>[0-9]))"
_NUMBER = re.compile(
    rf"(?<![\w.^+-])(?P<sign>[-+]?)\s*(?:"
    rf"(?P<whole>[0-9]*)\s*\\[dtc]?frac{_GROUP.replace('{0}', 'above')}{_GROUP.replace('{0}', 'below')}"
    rf"|(?P<mixed>[0-9]+)\s+(?P<mn>[0-9]+)\s*/\s*(?P<md>[0-9]+)"
    rf"|{_POWER.replace('{0}', 'p')}"
    rf"|(?P<n>{_PLAIN})"
    rf"(?:\s*/\s*(?P<d>{_PLAIN})|[eE](?P<e>[-+]?[0-9]+)|\s*(?:×|\*|x|·|\\times|\\cdot)\s*{_POWER.replace('{0}', 'q')})?"
    rf")"
)
_PERCENT = re.compile(r"\s*(?:\\?%|per\s?cent(?:age)?\b|pct\b)")
_WORD = re.compile(r"\s*(thousand|million|billion|trillion)s?\b|([kK])(?![A-Za-z])")
_EXPRESSION = re.compile(
    r"\s*(?:\*|\^|×|÷|·|⋅|√|π|\+|=|!|/|[-−]\s*[0-9(\\]|\\(?!%)|[²³¹⁰⁴-⁹])"
    r"|[)}]+\s*(?:[\^*/(×·⋅÷²³!]|\\(?:times|cdot|div))"
    r"|\s*(?:plus|minus|times|choose|mod|over)\s*[0-9]|\s*(?:squared|cubed|factorial)\b"
    r"|[0-9(_{\[]|[.:,][0-9]|[a-zA-Z](?<![mgslhdtVWAJNKCFL])(?![A-Za-z])|\s*(?:,|;|\bor\b|\band\b)\s*[-+]?[.0-9\\(]"
)


class Value(NamedTuple):
    """A number as it was written: without its percent sign, if it had one."""

    number: Fraction
    percent: bool = False
    words: str = ""
    """What follows it in the text: a unit, or the rest of a sentence."""


def find_number(text: str) -> Value | None:
    """The number that an answer gives: its first one, after the last `=` if something that is a number follows one.

    Only one number is read, so a list of guesses gains nothing. Units and words after it are left aside.
    None where the first thing that begins like a number is a part of an expression (or of a function), an inequality,
    a list, a date, a time or a range, and where a word before it denies it (`not 5`).
    """
    parts = tidy(first_statement(text)).split("=")
    for i, part in reversed(list(enumerate(parts))):
        found = _first(part)
        if found is not None:
            return None if i and _DENIED_TERM.search(parts[i - 1]) else found
    return None


def whole_number(text: str) -> Value | None:
    """The number that a text is, but for its unit; None for any other text."""
    plain = tidy(text[:MAX_CHARS]).strip()
    found = _first(plain) if _NUMBER.match(plain) else None
    return found if found is not None and _UNIT.fullmatch(found.words) else None


def denied(text: str) -> bool:
    """True for a text that begins by denying what follows."""
    return _DENIED.match(text.strip()) is not None


def first_statement(text: str) -> str:
    """The first line or sentence of an answer that has a digit in it, else the first that is not blank."""
    parts = [part for part in _SENTENCE.split(text[:MAX_CHARS]) if part.strip()]
    return next((part for part in parts if _DIGIT.search(part)), parts[0] if parts else "").strip()


def tidy(text: str) -> str:
    """A text without LaTeX's spaces and text commands, currencies, bold print and typographic variants."""
    text = _SPACES.sub(lambda m: "" if m.group() in (r"\,", r"\!", "\u202f", "\u2009") else " ", text)
    text = re.sub(r"[^\S\r\n]{2,}", " ", text)  # runs of blanks would cost the patterns the cube of their length
    text = text.replace("−", "-").replace("–", "-").replace("⁄", "/")
    for sign, plain in _VULGAR.items():
        text = text.replace(sign, f" {plain}")
    for _ in range(3):  # commands in one another
        text = _TEXT.sub(r" \1 ", text)
    return _CURRENCY.sub("", _DROPPED.sub("", _DEGREES.sub("°", text)))


def same_value(left: Value, right: Value, tolerance: Fraction) -> bool:
    """True when two numbers differ by at most `tolerance`.

    A percent sign on one side only may be a unit (20% for 20) or a hundredth (20% for 0.2): both readings are right.
    """
    if left.percent == right.percent:
        return abs(left.number - right.number) <= tolerance
    one, other = (left, right) if left.percent else (right, left)
    return any(abs(reading - other.number) <= tolerance for reading in (one.number, one.number / 100))


def _first(text: str) -> Value | None:
    match = _NUMBER.search(text)
    if match is None or _RELATION.search(text):
        return None
    before = text[: match.start()]
    if _FUNCTION.search(before) or _DENIED.search(before):
        return None
    number = _value(match)
    if number is None:
        return None
    end = match.end()
    percent = _PERCENT.match(text, end)
    if percent:
        end = percent.end()
    elif word := _WORD.match(text, end):
        number *= 10 ** (_WORDS[word.group(1)] if word.group(1) else 3)
        end = word.end()
    if _EXPRESSION.match(text, end):
        return None
    return Value(number, percent is not None, text[end:].strip())


def _value(match: re.Match[str]) -> Fraction | None:
    """The number of a match; None beyond the bounds and for division by zero."""
    part = match.groupdict()
    if any(text is not None and len(text) > MAX_DIGITS for text in part.values()):
        return None
    sign = -1 if part["sign"] == "-" else 1
    above, below = part["above"] or part["above1"], part["below"] or part["below1"]
    if above and below:
        return _fraction(sign, part["whole"] or "0", above, below)
    if part["mixed"]:
        return _fraction(sign, part["mixed"], part["mn"], part["md"])
    if part["d"]:
        return _fraction(sign, "0", part["n"], part["d"])
    power = next((part[name] for name in ("e", "p1", "p2", "q1", "q2") if part[name]), "0")
    if len(power) > 5 or abs(int(power)) > MAX_EXPONENT:
        return None
    return sign * _plain(part["n"] or "1") * Fraction(10) ** int(power)


def _fraction(sign: int, whole: str, above: str, below: str) -> Fraction | None:
    denominator = _plain(below)
    return sign * (_plain(whole) + _plain(above) / denominator) if denominator else None


def _plain(text: str) -> Fraction:
    digits = text.replace("{,}", "").replace(",", "")
    return Fraction(f"0{digits}" if digits.startswith(".") else digits)
