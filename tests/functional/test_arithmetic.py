"""What arithmetic a text states, and whether it is right: against Python's own arithmetic, and sentences by hand."""

from __future__ import annotations

import ast
import operator
import random
import time
from fractions import Fraction
from typing import Any

import pytest

from o1kit.functional.arithmetic import Form, claims, false_claims, holds, value

OPERATORS: dict[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def python(node: ast.expr) -> Fraction:
    """What Python's grammar makes of an expression."""
    match node:
        case ast.BinOp(left, op, right):
            return OPERATORS[type(op)](python(left), python(right))  # type: ignore[no-any-return]
        case ast.UnaryOp(ast.USub(), operand):
            return -python(operand)
        case ast.UnaryOp(ast.UAdd(), operand):
            return python(operand)
        case ast.Constant(number):
            return Fraction(str(number))
    raise AssertionError(node)


def written(draw: random.Random, depth: int) -> str:
    if depth == 0:
        return draw.choice([str(draw.randint(0, 999)), f"{draw.randint(0, 99)}.{draw.randint(1, 99):02}"])
    if draw.random() < 0.2:
        return f"-{written(draw, depth - 1)}"
    inner = f"{written(draw, depth - 1)}{draw.choice(['+', ' - ', '*', ' / '])}{written(draw, depth - 1)}"
    return f"({inner})" if draw.random() < 0.5 else inner


def test_expressions_are_worth_what_python_says() -> None:
    draw, zero, tried = random.Random(0), 0, 0
    for _ in range(600):
        text = written(draw, draw.randint(0, 3))
        if len(text) > 200:
            continue
        tried += 1
        try:
            expected = python(ast.parse(text, mode="eval").body)
        except ZeroDivisionError:
            zero += 1
            assert value(text) is None
            continue
        assert value(text) == expected, text
    assert tried > 400 > 50 > zero


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,000", 1000),
        ("3 \u00d7 4 \u00f7 2", 6),
        ("5 \u2212 7", -2),
        ("$12.50*2", 25),
        (".5+.5", 1),
        ("1,234,567", 1234567),
    ],
)
def test_ways_to_write_numbers_and_signs(text: str, number: int) -> None:
    assert value(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "+", "3 +", "(3", "3)", "2(3)", "3 4", "x", "1/0", "2^3", "9" * 201, "(" * 190, "-" * 200, "__import__"],
)
def test_what_is_no_arithmetic_has_no_value(text: str) -> None:
    assert value(text) is None


STATED = [
    ("12 + 30 = 42", [True]),
    ("So we get 12 + 30 = 43.", [False]),
    ("(3+4)*5 = 35 apples", [True]),
    ("1,000 / 8 = 125, and 3 * 3 = 10", [True, False]),
    ("48/2=<<48/2=24>>24", [True]),
    ("10/3 = 3.33", [True]),
    ("10/3 = 3.34", [False]),
    ("3.333 = 10/3", [True]),
    ("2 + 3 = 5 = 10/2", [True]),
    ("2 + 3 = 5 = 10/5", [False]),
    ("$5 + $7 = $12\n3+4=8", [True, False]),
    ("Total: -3 + 5 = 2", [True]),
    ("total = 3 + 4 = 7, so x=2*4=9", [True, False]),
]
NOT_STATED = [
    *("x + 3 = 8", "3x = 12", "2^3 = 8", "2^3 + 1 = 9", "y - 2 = 3 * 4", "5 = 5", "f(2) + 1 = 9"),
    *("5 * 20% = 1", "20% * 50 = 10", "3 + 4 = 7x", "- 3 + 5 = 8", "10 - 4y = 2", "no numbers", "", "= 3 + 4"),
]


@pytest.mark.parametrize(("text", "true"), STATED)
def test_equations_are_found_in_sentences(text: str, true: list[bool]) -> None:
    assert [holds(claim) for claim in claims(text)] == true
    assert false_claims(text) == true.count(False)


@pytest.mark.parametrize("text", NOT_STATED)
def test_what_is_not_only_numbers_is_nobodys_claim(text: str) -> None:
    assert list(claims(text)) == []


CHAIN_FORMS = [Form("{left}:*;{right} *"), Form("{left}>*;{right} *")]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("56-30:6-0=6,5-3=2,;26 ok", 0),
        ("200+51:0+1=1,0+5=0,2+0=2,;201 ok", 1),
        ("46-99>-99-46:9-6=3,9-4=5,;-53 ok", 0),
        ("26-20>-20-26:0-3=7^2+2^=5,;-57 ok", 1),
        ("55-79>-70-5:0-5=7^;-17+9; ok", 0),
        ("So the answer is 4", 0),
    ],
)
def test_lines_in_a_form_of_their_own(line: str, wrong: int) -> None:
    assert false_claims(f"  {line}\nnothing\n", CHAIN_FORMS) == wrong


def test_a_form_may_name_the_result_first() -> None:
    form = Form("{right} because {left}*")
    assert form.claim("7 because 3+4!") == ("3+4", "7") and false_claims("8 because 3+4!", [form]) == 1


@pytest.mark.parametrize("text", ["{left}", "{left} {right} {right}", "*", "{left}*{right}**"])
def test_forms_that_say_too_little_or_too_much(text: str) -> None:
    with pytest.raises(ValueError, match=r"\{left\}|at most twice"):
        Form(text)


def test_hostile_lines_do_not_hang() -> None:
    begun = time.process_time()
    for line in ("1+" * 100, "1" * 200, " " * 200, "1 " * 100, "(" * 200, "=" * 100_000, "1=" * 50_000, "-" * 100_000):
        for form in (Form("*{left}*{right}x"), Form("{left}*{right}*q")):
            form.claim(line)
        false_claims(line)
    assert time.process_time() - begun < 60, "minutes, were it exponential"
