"""Numbers as they are written: values by hand, and texts that are no number."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o1kit.tasks.graders.numbers import MAX_DIGITS, MAX_EXPONENT, Value, find_number, same_value, whole_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18), ("-5", -5), ("- 5", -5), ("−5", -5), ("+5", 5), ("18.", 18), ("007", 7), (".5", Fraction(1, 2)),
        ("1,234", 1234), ("1,234,567.50", Fraction("1234567.5")), ("1{,}234", 1234), (r"1\,234", 1234), ("$18", 18),
        (r"\$18", 18), ("$18$", 18), ("-$18", -18), ("US$18", 18), ("18 USD", 18), ("€5", 5),
        ("18 dollars a day", 18), ("18kg", 18), (r"18\text{ apples}", 18), ("12 cm^2", 12), ("12 cm²", 12),
        ("90°", 90), (r"90^\circ", 90), ("1st", 1), ("**18**", 18), ("(18)", 18), ("18-year", 18),
        ("18, which is 2 more", 18), ("3/4", Fraction(3, 4)), ("3 / 4 of it", Fraction(3, 4)),
        (r"\frac{3}{4}", Fraction(3, 4)), ("½", Fraction(1, 2)), (r"-\dfrac34", Fraction(-3, 4)),
        (r"1\frac{1}{2}", Fraction(3, 2)), ("1 1/2", Fraction(3, 2)), ("1½", Fraction(3, 2)), ("1.5e3", 1500),
        ("1E-2", Fraction(1, 100)), (r"1.5 \times 10^{3}", 1500), ("1.5×10^-3", Fraction(15, 10000)), ("10^6", 10**6),
        ("3 million", 3_000_000), ("$1.5 million", 1_500_000), ("5k", 5000), ("x = 5", 5), ("9*2 = 18", 18),
        ("18 = 9*2", 18), ("Total: 3\nof 4", 3), ("Mr. X has 7. Or 8", 7), ("18. Check: 3*6 = 18.", 18),
        ("3 times a day", 3), (r"\approx 18", 18), ("{18}", 18), (r"\text{18}", 18), ("≈18", 18), ("x_1 = 4", 4),
    ],
)  # fmt: skip
def test_values(text: str, value: Fraction | int) -> None:
    found = find_number(text)
    assert found is not None
    assert (found.number, found.percent) == (value, False)


@pytest.mark.parametrize("text", ["50%", r"50\%", "50 percent", "50 per cent", "50pct"])
def test_percentages(text: str) -> None:
    found = find_number(text)
    assert found is not None
    assert (found.number, found.percent) == (50, True)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "Paris", "nan", "inf", "9**9**9**9", "9^9", "2+3", "2 - 3", "5-10", "18 * 1", "5!", "1/0", "1/2/3",
        "1,2", "(1,2)", "[1, 2]", "2, 3", "2 or 3", "3 and 4", "1,23", "3,14", "12:30",
        r"\sqrt{256}", "sqrt(256)", "square root of 16", "log 8", "|-5|",
        r"\binom{5}{2}", "f(2)", "5 choose 2", "5 squared", "5 plus 2", r"\{18\}", "(18)^2", "(5)(3)", r"(5) \cdot 2",
        "3:2", "2x", "2_3", "1.2.3",
        "--5", "x2", r"2\sqrt{3}", r"2\pi", "10²", "2√3", "x > 5", "5 < x", r"x \ge 5", "1e999999",
        "9" * (MAX_DIGITS + 1), "10^99999", "١٢٣", "0x10", "__import__('os')", "[" * 1_000_000, "\0", "\ud800",
        "not 5", "It isn't 5", "x is not = 5",
        "(" * 5000 + "1" + ")" * 5000 + "^2",
    ],
)  # fmt: skip
def test_no_numbers(text: str) -> None:
    assert find_number(text) is None


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("0123456789.,/%$-+e ()*^=\\{}fracx½kKor\n")), max_size=40))
def test_any_text_is_a_number_or_none(text: str) -> None:
    for found in (find_number(text), whole_number(text)):
        assert found is None or isinstance(found.number, Fraction)


@settings(max_examples=150, deadline=None)
@given(st.integers(-(10**12), 10**12), st.integers(0, 10**6))
def test_written_numbers_are_read_back(whole: int, part: int) -> None:
    text = f"{whole:,}.{part:06d}"
    assert find_number(text) == Value(Fraction(text.replace(",", "")))
    assert find_number(f"so ${text}$ in all") == Value(Fraction(text.replace(",", "")), words="in all")


def test_bounds_are_tight() -> None:
    assert find_number("9" * MAX_DIGITS) == Value(Fraction(10**MAX_DIGITS - 1))
    assert find_number(f"1e{MAX_EXPONENT}") == Value(Fraction(10**MAX_EXPONENT))
    assert find_number(f"1e{MAX_EXPONENT + 1}") is None


@pytest.mark.parametrize(
    "piece", ["1,", "1", "1 ", "=", "1=", r"\frac", r"\text{", "**", "10^", "a", ". ", "½", "{,}", "not ", "= not x"]
)
def test_any_text_is_read_at_once(piece: str) -> None:
    start = time.monotonic()
    find_number(piece * (1_000_000 // len(piece)))
    whole_number(piece * (1_000_000 // len(piece)))
    assert time.monotonic() - start < 2


def test_what_is_nothing_but_a_number() -> None:
    assert whole_number("12 square miles") == Value(Fraction(12), words="square miles")
    for text in ("x = 5", "about 5", "5 (or so)", r"\{5\}", "(5", "5 > x", "five"):
        assert whole_number(text) is None


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [("20%", "20", True), ("20%", "0.2", True), ("20%", "20%", True), ("20%", "21%", False), ("20%", "2", False),
     ("20%", "2000", False), ("1/3", "0.33", False), ("0.5", "1/2", True)],
)  # fmt: skip
def test_a_percent_sign_on_one_side_may_be_a_unit_or_a_hundredth(left: str, right: str, same: bool) -> None:
    one, other = find_number(left), find_number(right)
    assert one is not None
    assert other is not None
    assert same_value(one, other, Fraction(0)) == same_value(other, one, Fraction(0)) == same
