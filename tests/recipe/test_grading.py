"""Recipes that choose graders: what fits together, what is refused, and which results a choice changes."""

from __future__ import annotations

import pytest

from o1kit.plan import compile_recipe
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.source import parse
from tests.recipe.test_loader import GOOD, fails

OLD = "{kind: jsonl, path: y.jsonl}"
PYTHON = "{kind: jsonl, path: y.jsonl, grader: {kind: python, runs_model_code: true}}"


def with_grader(grader: str, grading: str = "") -> str:
    text = GOOD.replace(OLD, OLD.replace("}", f", grader: {grader}}}"))
    return text.replace("engine:", f"grading: {{{grading}}}\nengine:")


@pytest.mark.parametrize(
    ("grader", "grading"),
    [
        ("{kind: exact}", ""),
        ("{kind: numeric, relative: 0.01}", "answer_rule: last_number"),
        ("{kind: math}", "answer_rule: final, num_workers: 4, max_failures: 0.1"),
        ("{kind: python, runs_model_code: true, stdin_field: input}", "answer_rule: code"),
        ("{kind: python, runs_model_code: true, timeout_s: 7.0}", "answer_rule: whole, timeout_s: 8.0"),
    ],
)
def test_graders_that_fit(grader: str, grading: str) -> None:
    recipe = recipe_from(parse(with_grader(grader, grading), "r.yaml"))
    assert recipe.tasks["heldout"].sources[0].grader.kind == grader.split(",")[0].strip("{}").split()[1]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("grader", "grading", "words"),
    [
        ("{kind: maths}", "", "unknown kind 'maths'. Did you mean 'math'?"),
        ("{}", "", "needs a `kind`. Choose one of: exact, numeric, math, python"),
        ("{kind: python}", "answer_rule: code", "grader.runs_model_code: is required"),
        ("{kind: python, runs_model_code: false}", "answer_rule: code", "runs_model_code"),
        ("{kind: python, runs_model_code: true}", "", "a program is not found by `grading.answer_rule: stated`"),
        (
            "{kind: python, runs_model_code: true, timeout_s: 5.0}",
            "answer_rule: code",
            "grader.timeout_s: must be below grading.timeout_s (5), got 5",
        ),
        ("{kind: numeric, absolute: -1.0}", "", "grader.absolute"),
        ("{kind: math, tolerance: 1.0}", "", "unknown key 'tolerance'"),
        ("{kind: exact}", "answer_rule: box", "unknown answer_rule 'box'"),
        ("{kind: exact}", "max_failures: 2.0", "grading.max_failures"),
        ("{kind: exact}", "num_workers: 0", "grading.num_workers"),
        ("{kind: exact}", "memory_mb: 1", "grading.memory_mb"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(grader: str, grading: str, words: str) -> None:
    assert words in fails(with_grader(grader, grading))


def prints(text: str) -> list[str]:
    return [stage.fingerprint for stage in compile_recipe(recipe_from(parse(text, "r.yaml"))).stages]


@pytest.mark.parametrize(
    ("grading", "changes"),
    [
        ("answer_rule: final", True),
        ("num_workers: 3", False),
        ("timeout_s: 9.0", False),
        ("memory_mb: 4096", False),
        ("max_failures: 0.5", False),
    ],
)
def test_only_what_changes_results_changes_fingerprints(grading: str, changes: bool) -> None:
    assert (prints(with_grader("{kind: math}", grading)) != prints(with_grader("{kind: math}"))) == changes


def test_another_grader_is_another_result() -> None:
    found = [
        with_grader(g) for g in ("{kind: exact}", "{kind: math}", "{kind: numeric}", "{kind: numeric, relative: 1.0}")
    ]
    assert len({tuple(prints(text)) for text in found}) == len(found)
    assert prints(with_grader("{kind: exact}")) == prints(GOOD)
