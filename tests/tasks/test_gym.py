from __future__ import annotations

import time
from itertools import islice
from typing import Any

import pytest
import reasoning_gym

from o1kit.errors import RecipeError
from o1kit.tasks.config import ReasoningGymConfig
from o1kit.tasks.gym import CHUNK, ReasoningGymSource

GENERATORS = ["letter_counting", "chain_sum", "spell_backward", "count_bits", "word_sorting", "base_conversion"]


def source(generator: str, teacher: str | None = None, **params: Any) -> ReasoningGymSource:
    return ReasoningGymSource(
        ReasoningGymConfig(kind="reasoning_gym", generator=generator, params=params, teacher=teacher)
    )


@pytest.mark.parametrize("name", GENERATORS)
def test_entries_and_scores_are_reasoning_gyms_own(name: str) -> None:
    ours = list(source(name).generate(7, 30))
    theirs = reasoning_gym.create_dataset(name, seed=7, size=30)
    for (problem, truth), entry in zip(ours, theirs, strict=True):
        assert (problem.prompt, truth.answer) == (entry["question"], entry["answer"])
        assert truth.payload["metadata"] == entry["metadata"]
        assert truth.payload["generator"] == name
        for answer in (entry["answer"], entry["answer"] + " or so", "", "nonsense", None):
            assert source(name).score(truth, answer) == theirs.score_answer(answer, entry)
        assert source(name).score(truth, truth.answer) == 1.0


def test_longer_runs_begin_with_shorter_ones_and_chunks_do_not_repeat() -> None:
    letters = source("letter_counting", min_words=5, max_words=9)
    long = list(letters.generate(3, 3 * CHUNK))
    assert long[:50] == list(letters.generate(3, 50))
    assert len({problem.prompt for problem, _ in long}) > 0.99 * len(long)
    assert len({problem.id for problem, _ in long}) == len(long)


def test_seeds_differ() -> None:
    prompts = [{p.prompt for p, _ in source("chain_sum").generate(seed, 50)} for seed in (1, 10_000)]
    assert len(prompts[0] & prompts[1]) < 5


def test_twenty_thousand_problems_in_seconds() -> None:
    list(source("chain_sum").generate(0, 1))
    start = time.monotonic()
    assert sum(1 for _ in source("chain_sum").generate(0, 20_000)) == 20_000
    assert time.monotonic() - start < 60


def test_generation_is_lazy() -> None:
    assert len(list(islice(source("letter_counting").generate(0, 10**9), 3))) == 3


def test_params_are_passed_on() -> None:
    for problem, truth in source("chain_sum", min_terms=3, max_terms=3, min_digits=2, max_digits=2).generate(0, 20):
        assert truth.payload["metadata"]["num_terms"] == 3, problem.prompt  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("leter_counting", {}, "Did you mean 'letter_counting'"),
        ("chain_sum", {"min_term": 2}, "Did you mean 'min_terms'"),
        ("chain_sum", {"min_terms": 0}, "refuses its options"),
        ("chain_sum", {"min_terms": "two"}, "refuses its options"),
        ("chain_sum", {"min_terms": 5, "max_terms": 2}, "refuses its options"),
        ("chain_sum", {"seed": 3}, "set by o1kit"),
        ("chain_sum", {"size": 3}, "set by o1kit"),
    ],
)
def test_mistakes_in_the_recipe_are_named(name: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        source(name, **params).check()
    with pytest.raises(RecipeError, match=message):
        next(source(name, **params).generate(0, 1))


def test_teachers() -> None:
    assert source("letter_counting").teacher == "letter_counting"
    assert source("gcd").teacher is None
    assert source("gcd", teacher="chain_sum").teacher == "chain_sum"
    with pytest.raises(RecipeError, match="Did you mean 'chain_sum'"):
        source("gcd", teacher="chain_sums").check()
    source("gcd").check()
