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
_WORDS = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_SPACES = re.compile(r"\\[,;:! ]|[\u00a0\u2007\u2009\u202f~]")
_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
_BOLD = r"(?<!\S)\*\*(?=[^\s*])|(?<=[^\s*])\*\*(?=[\s.,;:!?]|$)"
_DROPPED = re.compile(rf"\\(?:left|right|displaystyle|approx|therefore|implies|quad|qquad|\(|\)|\[|\])|{_BOLD}|`")
_CURRENCY = re.compile(r"\\?\$|[€£¥₹₽₩₺]|\b(?:USD|EUR|GBP|US)\b")
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-zA-Z]))|\\degree(?![a-zA-Z])")
_RELATION = re.compile(r"[<>≤≥≠±]|\\(?:le|ge|leq|geq|lt|gt|ne|neq|in|pm)(?![a-zA-Z])")
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
_GROUPED = r"[0-9]{1,3}(?:(?:(?:,|\{,\})[0-9]{3})+|(?:[ '’][0-9]{3})+)(?![0-9])"
_PLAIN = rf"(?:{_GROUPED}|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"
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
_WORD = re.compile(r"\s*(hundred|thousand|million|billion|trillion|dozen)s?\b|([kK])(?![A-Za-z])")
_EXPRESSION = re.compile(
    r"\s*(?:\*|\^|×|÷|·|⋅|√|π|\+|=|!|/|[-−]\s*[0-9(\\]|\\(?!%)|[²³¹⁰⁴-⁹])"
    r"|[)}]+\s*(?:[\^*/(×·⋅÷²³!]|\\(?:times|cdot|div))"
    r"|\s*(?:plus|minus|times|choose|mod|over|to|vs\.?|versus)\s*[-+]?[0-9]|\s*(?:pi\b|sqrt|[|∨]|['’][0-9])|\s+[0-9]"
    r"|[0-9(_{\[]|[.:,][0-9]|[a-zA-Z](?<![mgslhdtVWAJNKCFL])(?![A-Za-z])|\s*(?:,|;|\bor\b|\band\b)\s*[-+]?[.0-9\\(]"
)

_DENIAL = r"(?:\s*not\b|n['’]t\b|\s+(?:never|wrong|incorrect|false|impossible)\b)"
_ANOTHER_VALUE = re.compile(
    r"[)}\s]*(?:(?:squared|cubed|factorial)\b"
    r"|(?:bn|mn|tn|lakhs?|crores?|quadrillions?|gross|halves|(?:four|fif|six|seven|eigh|nin|ten|hundred"
    r"|thousand|million|billion)ths?|thirds)\b"
    r"|(?:less|more|greater|fewer)\s+than\b|or\s+(?:more|less|fewer|greater|higher|lower|above|below)\b"
    r"|at\s+(?:least|most)\b|to\s+the\s+power\b|(?:divided|multiplied)\s+by\b"
    rf"|(?:(?!(?:that|which|who)\b)[a-z]+\s+){{0,2}}(?:is|was|are|were|does|do|can|could|would){_DENIAL}"
    r"|,?\s*(?:which|that|but\s+(?:that|this|it))\s+(?:is|was)(?:\s+(?:wrong|incorrect|false)"
    r"|(?:\s+not|n['’]t)\s+(?:right|correct|true|the))\b)",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"\b(?:(?:less|more|greater|fewer|larger|smaller|higher|lower)\s+than(?:\s+or\s+equal\s+to)?|at\s+(?:least|most)"
    r"|up\s+to|between|exceeds|under|above|below)\s*\(?\s*$",
    re.IGNORECASE,
)
_MISREAD = re.compile(r"^\W*[-+]\s*[-+]\s*[0-9]|[0-9]\s*(?:±|\||∨|_)\s*[0-9]|[0-9]['’~][0-9]")
_UNIT_NAMES = {
    name: unit
    for unit, names in {
        "mm": "mm millimeter millimetre", "cm": "cm centimeter centimetre", "m": "m meter metre",
        "km": "km kilometer kilometre", "inch": "inch inche", "ft": "ft foot feet", "mile": "mile",
        "mg": "mg milligram", "g": "g gram", "kg": "kg kilogram", "s": "s sec second", "min": "min minute",
        "h": "h hr hour", "day": "day", "week": "week", "month": "month", "year": "year",
        "$": "dollar usd", "cent": "cent",
    }.items()
    for name in names.split()
}  # fmt: skip


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


def says_otherwise(text: str) -> bool:
    """True where words or signs after a text's first number, or before it, make it another value or none at all."""
    plain = tidy(text[:MAX_CHARS])
    if _MISREAD.search(plain) or _MISREAD.search(text[:MAX_CHARS]):
        return True
    match = re.search(r"[0-9][0-9.,]*", plain)
    if match is None:
        return False
    words = re.search(r"(?<![\\a-zA-Z])[a-zA-Z]{2,}", plain[match.end() :])
    after = match.end() + words.start() if words else len(plain)
    return bool(_BOUND.search(plain[: match.start()]) or _ANOTHER_VALUE.match(plain, after))


def other_unit(left: str, right: str) -> bool:
    """True when both texts name a unit of length, mass, time or money, and not the same one."""
    one, other = _unit(left), _unit(right)
    return one is not None and other is not None and one != other


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
    if _FUNCTION.search(before) or _DENIED.search(before) or _BOUND.search(before):
        return None
    number = _value(match)
    if number is None:
        return None
    end = match.end()
    percent = _PERCENT.match(text, end)
    if percent:
        end = percent.end()
    else:
        for _ in range(2):  # five hundred thousand
            if word := _WORD.match(text, end):
                number *= _WORDS[word.group(1)] if word.group(1) else 1000
                end = word.end()
    if _EXPRESSION.match(text, end) or _ANOTHER_VALUE.match(text, end):
        return None
    return Value(number, percent is not None, text[end:].strip())


def _unit(text: str) -> str | None:
    """The unit after the number that a text gives; None where there is none that is known."""
    found = find_number(text)
    if found is None:
        return None
    word = re.match("[a-zA-Z]+", found.words)
    if word is None:
        return "$" if not found.words and (r"\$" in text or text.count("$") == 1) else None
    name = word.group().lower()
    return _UNIT_NAMES.get(name) or _UNIT_NAMES.get(name.removesuffix("s"))


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
    digits = re.sub(r"\{,\}|[, '’]", "", text)
    return Fraction(f"0{digits}" if digits.startswith(".") else digits)
