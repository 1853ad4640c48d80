"""Teachers: a clean chain reaches the answer that reasoning_gym's own scorer accepts; mistakes are what they claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from o1kit.engines.policy import PromptTemplate
from o1kit.functional.answers import find_answer
from o1kit.models.tokenizer import build_char_tokenizer
from o1kit.registry import lookup
from o1kit.tasks.config import ReasoningGymConfig, SplitConfig
from o1kit.tasks.suite import Suite, build_suite
from o1kit.tasks.teachers.chain_sum import work
from o1kit.tasks.teachers.countdown import operations
from o1kit.tasks.teachers.letter_counting import count
from o1kit.tasks.teachers.spell_backward import SpellBackwardTeacher
from o1kit.types import GroundTruth

PARAMS: dict[str, dict[str, Any]] = {
    "letter_counting": {"min_words": 1, "max_words": 6},
    "chain_sum": {"min_terms": 2, "max_terms": 5, "min_digits": 1, "max_digits": 3},
    "spell_backward": {"min_word_len": 3, "max_word_len": 10},
    "countdown": {"min_numbers": 2, "max_numbers": 5, "max_value": 30, "min_target": 1, "max_target": 200},
}
NUM = 200


def suite(generator: str) -> Suite:
    source = ReasoningGymConfig(kind="reasoning_gym", generator=generator, params=PARAMS[generator])
    return build_suite({"train": SplitConfig(num_problems=NUM, sources=[source])}, 3, Path())


def chains(generator: str, *mistakes: str) -> list[tuple[list[str], bool]]:
    """The chain of every problem, and whether its answer is right."""
    problems = suite(generator)
    teacher = lookup("teachers", generator)()
    found = []
    for i, problem in enumerate(problems.problems("train")):
        steps = teacher.trace(problems.truth(problem), problem.prompt, mistakes, i)
        answer = find_answer("".join(steps))
        found.append((steps, problems.score(problem, answer).value == 1.0))
    return found


@pytest.mark.parametrize("generator", PARAMS)
def test_clean_chains_are_right(generator: str) -> None:
    assert all(right for _, right in chains(generator))
    assert not any("wait" in step for steps, _ in chains(generator) for step in steps)


@pytest.mark.parametrize("generator", PARAMS)
def test_noticed_mistakes_are_repaired(generator: str) -> None:
    found = chains(generator, "noticed")
    assert all(right for _, right in found)
    assert all(sum("wait" in step for step in steps) == 1 for steps, _ in found)
    for steps, _ in found:
        wrong = next(i for i, step in enumerate(steps) if "wait" in step)
        assert steps[wrong].split(" wait")[0] != steps[wrong + 1].split(" ok")[0], "the repeated step must differ"


@pytest.mark.parametrize("generator", PARAMS)
def test_unnoticed_mistakes_spoil_the_answer(generator: str) -> None:
    found = chains(generator, "unnoticed")
    assert not any(right for _, right in found)
    assert not any("wait" in step for steps, _ in found for step in steps)


@pytest.mark.parametrize("generator", PARAMS)
def test_chains_survive_the_tokenizer(generator: str) -> None:
    teacher = lookup("teachers", generator)()
    template = PromptTemplate(build_char_tokenizer(teacher.phrases))
    for steps, _ in chains(generator, "noticed")[:50]:
        text = "".join(steps)
        assert template.decode(template.encode(text)) == text


def test_strawberry() -> None:
    assert count("strawberry", "r", 0, None) == ("str(1)awber(2)r(3)y=3", 3)
    assert count("Rare", "r", 3, None) == ("R(4)ar(5)e=5", 5)


@pytest.mark.parametrize("a", range(-120, 121, 7))
@pytest.mark.parametrize("b", [0, 1, 9, 10, 47, 99, 130])
@pytest.mark.parametrize("sign", ["+", "-"])
def test_sums_worked_by_columns_equal_arithmetic(a: int, b: int, sign: str) -> None:
    text, total = work(str(a), sign, str(b), None)
    assert int(total) == (a + b if sign == "+" else a - b)
    assert text.endswith(f";{total}")


def test_spelling_takes_chunks_from_the_end() -> None:
    truth = GroundTruth("x", "edahsnu", {"metadata": {"word": "unshade"}})
    steps = SpellBackwardTeacher().trace(truth, "", [], 0)
    assert steps == ["ade>eda ok\n", "nsh>hsn ok\n", "u>u ok\n", "So the answer is edahsnu"]


@pytest.mark.parametrize(
    ("expression", "texts"),
    [
        ("2 + 3", ["(2+3)"]),
        ("4*(17 - 7) + 20 - 9", ["(17-7)", "(4*(17-7))", "((4*(17-7))+20)", "(((4*(17-7))+20)-9)"]),
        ("-9 + 3 + 20", ["(3+20)", "((3+20)-9)"]),
        ("-2*3 + 20", ["(2*3)", "(20-(2*3))"]),
        ("30 - (4 - -3)*2", ["(4+3)", "((4+3)*2)", "(30-((4+3)*2))"]),
        ("8*9/(2*3)", ["(8*9)", "((8*9)/2)", "(((8*9)/2)/3)"]),
        ("50*(13 - 9)/20 - 1", ["(13-9)", "(50*(13-9))", "((50*(13-9))/20)", "(((50*(13-9))/20)-1)"]),
    ],
)
def test_an_expression_is_taken_apart_in_the_order_of_its_work(expression: str, texts: list[str]) -> None:
    assert [operation.text for operation in operations(expression)] == texts


def test_a_countdown_chain_carries_the_problem_that_is_left() -> None:
    truth = GroundTruth("p", "", {"metadata": {"numbers": [7, 20, 3], "target": 41, "expression": "20 + 7*3"}})
    steps = lookup("teachers", "countdown")().trace(truth, "", [], 0)
    assert "".join(steps).splitlines() == [
        "7*3=21,(7*3);21,20>41 ok",
        "20+21=41,(20+(7*3));41>41 hit ok",
        "So the answer is (20+(7*3))",
    ]
    wrong = lookup("teachers", "countdown")().trace(truth, "", ["unnoticed"], 1)
    assert wrong[-2].endswith(">41 miss ok\n")
