r"""Where final answers are found; the last statement wins."""

from __future__ import annotations

import time

import pytest

from o1kit.functional.answers import AnswerRule, find_answer, last_boxed

TEXT = "First 1 + 1 = 2.\nThe answer is 4.\nWait: \\boxed{5}.\n\nSo the final answer is: 6.\n"


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ("stated", "6"),
        ("final", "6"),
        ("last_line", "So the final answer is: 6."),
        ("last_number", "6"),
        ("code", TEXT.rstrip()),
        ("whole", TEXT.strip()),
    ],
)
def test_every_rule_by_hand(rule: AnswerRule, answer: str) -> None:
    assert find_answer(TEXT, rule) == answer
    assert find_answer("", rule) is None
    assert find_answer(" \n ", rule) is None


@pytest.mark.parametrize(
    ("text", "stated", "final"),
    [
        ("#### 18", "18", "18"),
        ("The answer is 4. Wait. The answer is 5.", "5", "5"),
        ("the answer is: Paris", "Paris", "Paris"),
        ("The answer is \\boxed{4}.", "\\boxed{4}", "4"),
        ("\\boxed{4} and nothing else", None, "4"),
        ("The answer is 3, no, \\boxed{4}", "3, no, \\boxed{4}", "4"),
        ("\\boxed{4}\n#### 5", "5", "5"),
        ("\\boxed{\\frac{1}{2}} \\fbox {\\{1, 2\\}}", None, "\\{1, 2\\}"),
        ("\\boxed{x = \\boxed{4}}", None, "4"),
        ("\\boxed{4} then \\boxed{5", None, "4"),
        ("\\boxed{}", None, None),
        ("the answer is", None, None),
        ("no answer", None, None),
        ("}}} \\boxed{7} }}", None, "7"),
    ],
)
def test_stated_and_final(text: str, stated: str | None, final: str | None) -> None:
    assert find_answer(text) == stated
    assert find_answer(text, "final") == final


@pytest.mark.parametrize(
    ("text", "number"),
    [("7 apples, 1,234.5 pears.", "1,234.5"), ("x2 and -3", "-3"), ("3/4 of it", "3/4"), ("$18, so 20%.", "20%")],
)
def test_the_last_number(text: str, number: str) -> None:
    assert find_answer(text, "last_number") == number


def test_the_last_block_of_code() -> None:
    assert find_answer("```python\na = 1\n```\nbetter:\n  ```\nb = 2\n\n  ```\ndone", "code") == "b = 2"
    assert find_answer("```\nnever closed\n", "code") == "never closed"
    assert find_answer("print(1)", "code") == "print(1)"


def test_a_box_is_found_where_it_begins() -> None:
    assert last_boxed("ab\\boxed{ 4 }") == (2, "4")
    assert last_boxed("ab") is None


@pytest.mark.parametrize(
    "piece", ["\\boxed{", "{", "}", "\\boxed{1}", "the answer is ", "```\n", "9", "\\", "\n", "1,"]
)
def test_any_text_takes_linear_time(piece: str) -> None:
    start = time.monotonic()
    for rule in ("stated", "final", "last_line", "last_number", "code", "whole"):
        find_answer(piece * (1_000_000 // len(piece)), rule)  # type: ignore[arg-type]
    assert time.monotonic() - start < 10
