"""The conformance kit, and the verifier and the teacher against Python's own arithmetic."""

import re
from collections import Counter
from fractions import Fraction
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from o1kit_countdown.config import CountdownConfig
from o1kit_countdown.game import OPERATIONS, value_of, written
from o1kit_countdown.source import CountdownSource
from o1kit_countdown.teacher import CountdownTeacher

from o1kit.functional.answers import find_answer
from o1kit.recipe.loader import load_recipe
from o1kit.testing import conformance
from o1kit.types import GroundTruth

TestCountdown = conformance.task("countdown", {"num_numbers": 4})


def python_value(expression: str) -> Fraction | None:
    """The value by Python's own parser; the tests make the expressions themselves."""
    try:
        found = eval(re.sub(r"(\d+)", r"Fraction(\1)", expression), {"Fraction": Fraction})  # noqa: S307
    except ZeroDivisionError:
        return None
    assert isinstance(found, Fraction)
    return found


def test_expressions_have_the_value_that_python_gives_them() -> None:
    rng = Random(0)

    def made(depth: int) -> str:
        if depth == 0 or rng.random() < 0.2:
            return str(rng.randint(1, 9))
        text = f"{made(depth - 1)}{rng.choice('+-*/')}{made(depth - 1)}"
        return f"({text})" if rng.random() < 0.5 else text

    for _ in range(500):
        text, expected = made(3), None
        expected, found = python_value(text), value_of(text)
        if expected is None:
            assert found is None
        else:
            assert found == (expected, Counter(int(n) for n in re.findall(r"\d+", text))), text


def test_parentheses_are_put_where_they_are_needed() -> None:
    rng = Random(1)
    for _ in range(500):
        parts = [(str(n), Fraction(n)) for n in (rng.randint(1, 9) for _ in range(5))]
        while len(parts) > 1:
            (a, x), (b, y), *rest = rng.sample(parts, len(parts))
            operation = rng.choice(OPERATIONS)
            if operation == "/" and y == 0:
                continue
            value = {"+": x + y, "-": x - y, "*": x * y, "/": x / y if y else x}[operation]
            parts = [*rest, (written(operation, a, b), value)]
        assert python_value(parts[0][0]) == parts[0][1], parts


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("3+5*2", True),
        ("(5*2)+3", True),
        ("2*5 + 3 = 13", True),
        ("3+5*2=14", False),
        ("13", False),
        ("3+5+2+3", False),
        ("3+5*2*1", False),
        ("3+5*", False),
        ("(3+5*2", False),
        ("3+5*2)", False),
        ("3**5", False),
        ("(" * 150 + "1", False),
        ("__import__('os')", False),
    ],
)
def test_any_way_to_the_target_is_right_and_nothing_else(answer: str, right: bool) -> None:
    truth = GroundTruth("p", "3+5*2", {"numbers": [3, 5, 2], "target": 13})
    assert CountdownSource.score(truth, answer) == float(right)


def test_solutions_hit_the_target_with_the_given_numbers() -> None:
    config = CountdownConfig.model_validate({"kind": "countdown", "num_numbers": 5, "max_number": 20})
    for problem, truth in islice(CountdownSource(config).generate(3, 100), 100):
        target, *numbers = map(int, re.findall(r"\d+", problem.prompt))
        assert python_value(truth.answer) == target
        assert Counter(map(int, re.findall(r"\d+", truth.answer))) == Counter(numbers)


def test_an_unnoticed_mistake_misses_the_target_most_times() -> None:
    source, teacher = CountdownSource(CountdownConfig.model_validate({"kind": "countdown"})), CountdownTeacher()
    missed = 0
    for problem, truth in source.generate(5, 60):
        steps = teacher.trace(truth, problem.prompt, ["unnoticed"], 1)
        missed += CountdownSource.score(truth, find_answer("".join(steps))) == 0
    assert missed > 45


def test_the_example_recipe_is_valid() -> None:
    assert load_recipe(Path(__file__).parents[1] / "recipe.yaml").name == "o1kit-countdown"
