from __future__ import annotations

import json
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from o1kit.errors import DataError, RecipeError
from o1kit.tasks.config import JsonlConfig, ReasoningGymConfig, SplitConfig
from o1kit.tasks.suite import Suite, build_suite, interleave, matching
from o1kit.types import GroundTruth, Problem


def gym(generator: str, weight: float = 1.0, teacher: str | None = None, **params: Any) -> dict[str, Any]:
    return {"kind": "reasoning_gym", "generator": generator, "weight": weight, "teacher": teacher, "params": params}


def split(num_problems: int, *sources: dict[str, Any]) -> SplitConfig:
    return SplitConfig.model_validate({"num_problems": num_problems, "sources": list(sources)})


def build(seed: int = 0, folder: Path = Path(), **tasks: SplitConfig) -> Suite:
    return build_suite(tasks, seed, folder)


SMALL = gym("chain_sum", min_terms=2, max_terms=2, min_digits=1, max_digits=1)
"""200 different problems: two digits and a sign."""
THREE = (gym("letter_counting", min_words=1, max_words=3), gym("chain_sum", 2.0), gym("spell_backward"))


def prompts(suite: Suite, name: str) -> list[str]:
    return [problem.prompt for problem in suite.problems(name)]


def test_splits_never_share_a_prompt_although_they_share_a_small_source() -> None:
    suite = build(train=split(60, SMALL), heldout=split(50, SMALL), harder=split(40, SMALL))
    seen = Counter(p for name in ("train", "heldout", "harder") for p in prompts(suite, name))
    assert len(seen) == 150
    assert set(seen.values()) == {1}


def test_train_gives_way_whichever_is_asked_for_first() -> None:
    tasks = {"train": split(60, SMALL), "heldout": split(50, SMALL), "harder": split(40, SMALL)}
    forward, backward = build(**tasks), build(**tasks)
    first = {name: forward.problems(name) for name in ("train", "heldout", "harder")}
    second = {name: backward.problems(name) for name in ("harder", "heldout", "train")}
    assert first == second
    assert build(heldout=tasks["heldout"]).problems("heldout") == first["heldout"], "earlier splits ignore later ones"


def test_the_same_seed_gives_the_same_problems_and_another_seed_others() -> None:
    tasks = {"train": split(300, *THREE), "heldout": split(60, *THREE)}
    assert prompts(build(**tasks), "train") == prompts(build(**tasks), "train")
    assert len(set(prompts(build(**tasks), "train")) & set(prompts(build(1, **tasks), "train"))) < 30


def test_changing_one_split_changes_others_only_by_exclusion() -> None:
    big = gym("chain_sum", min_digits=4)
    one = prompts(build(train=split(200, big), heldout=split(50, big)), "train")
    other = prompts(build(train=split(200, big), heldout=split(99, big)), "train")
    assert one == other


def test_sources_are_mixed_by_weight_in_every_prefix() -> None:
    problems = build(train=split(400, *THREE)).problems("train")
    assert Counter(p.task for p in problems) == {"chain_sum": 200, "letter_counting": 100, "spell_backward": 100}
    for size in range(1, 401):
        share = Counter(p.task for p in problems[:size])["chain_sum"] / size
        assert abs(share * size - size / 2) <= 1


def test_interleave_is_exact_and_near_the_weights_everywhere() -> None:
    weights = [3, 1, 2]
    order = interleave(weights, 60)
    assert Counter(order) == {0: 30, 1: 10, 2: 20}
    for size in range(61):
        for i, weight in enumerate(weights):
            assert abs(order[:size].count(i) - Fraction(size * weight, 6)) < 1


def test_ids_are_unique_and_readable_even_for_two_sources_of_one_generator() -> None:
    short, long = (gym("letter_counting", min_words=n, max_words=n) for n in (2, 6))
    suite = build(heldout=split(20, short, long))
    problems = suite.problems("heldout")
    assert [p.id for p in problems] == [f"heldout/letter_counting/{i}" for i in range(20)]
    for problem in problems:
        truth = suite.truth(problem)
        assert truth.problem_id == problem.id
        assert truth.payload["question"] == problem.prompt


def test_too_few_problems_say_how_many_there_are_and_what_to_change() -> None:
    suite = build(train=split(120, SMALL), heldout=split(100, SMALL))
    with pytest.raises(DataError, match=r"tasks.train.sources\[0\] \(chain_sum\): only (\d+) different") as caught:
        suite.problems("train")
    text = str(caught.value)
    assert "only 100 different" in text, "200 in all, 100 of them held out"
    assert "120 are needed" in text
    assert "Lower tasks.train.num_problems" in text
    assert len(suite.problems("heldout")) == 100


def test_a_file_with_repeats_is_used_once_each_and_then_exhausted(tmp_path: Path) -> None:
    rows = [{"question": f"{i % 7}?", "answer": str(i % 7)} for i in range(30)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = {"kind": "jsonl", "path": "rows.jsonl"}
    suite = build(folder=tmp_path, train=split(4, source), heldout=split(3, source))
    assert prompts(suite, "heldout") == ["0?", "1?", "2?"]
    assert prompts(suite, "train") == ["3?", "4?", "5?", "6?"]
    with pytest.raises(DataError, match=r"only 4 different problems .* 5 are needed"):
        build(folder=tmp_path, train=split(5, source), heldout=split(3, source)).problems("train")


def test_teachers_and_sources_are_known_for_every_problem(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"question": "x?", "answer": "1", "why": "one\\ntwo"}')
    mine = {"kind": "jsonl", "path": "mine.jsonl", "thought_field": "why"}
    sources = [mine, gym("chain_sum"), gym("gcd"), gym("chain_sum", teacher="spell_backward", min_digits=3)]
    suite = build(folder=tmp_path, train=split(4, *sources))
    found = [(suite.source_of(p), suite.teacher_of(p)) for p in suite.problems("train")]
    expected = [("mine", None), ("chain_sum", "chain_sum"), ("gcd", None), ("spell_backward", "spell_backward")]
    assert found == expected
    assert suite.truth(suite.problems("train")[0]).payload["thought"] == ["one", "two"]


def test_scores() -> None:
    suite = build(heldout=split(20, *THREE))
    for problem in suite.problems("heldout"):
        right, wrong, none = (suite.score(problem, a) for a in (suite.truth(problem).answer, "nonsense", None))
        assert (right.value, right.outcome, right.oracle) == (1.0, "right", True)
        assert (wrong.value, wrong.outcome) == (0.0, "wrong")
        assert (none.value, none.outcome) == (0.0, "no_answer")


def test_a_scorer_that_raises_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = build(heldout=split(1, THREE[0]))
    (problem,) = suite.problems("heldout")
    monkeypatch.setattr("o1kit.tasks.gym._scorer", lambda name: 1 // 0)
    assert suite.score(problem, "3").outcome == "error"


def test_problems_carry_no_answer_and_truths_hide_it() -> None:
    suite = build(heldout=split(5, gym("spell_backward", min_word_len=6)))
    for problem in suite.problems("heldout"):
        answer = suite.truth(problem).answer
        assert answer not in problem.prompt
        assert answer not in repr(problem)
        assert answer not in repr(suite.truth(problem))


def test_unknown_splits_and_broken_sources_are_told_before_anything_is_generated(tmp_path: Path) -> None:
    suite = build(train=split(5, SMALL), heldout=split(5, gym("chain_summ")))
    with pytest.raises(DataError, match="Did you mean 'heldout'"):
        suite.problems("held_out")
    ((path, error),) = suite.faults()
    assert path == ("tasks", "heldout", "sources", 0) and isinstance(error, RecipeError)
    assert "Did you mean 'chain_sum'" in str(error)
    gone = build(folder=tmp_path, train=split(1, {"kind": "jsonl", "path": "gone.jsonl"}))
    ((_, error),) = gone.faults()
    assert isinstance(error, DataError) and "cannot be read" in str(error)


DOUBLED = r'letter "(.)".*: ".*\1\1'


def test_match_keeps_only_problems_whose_text_has_the_pattern() -> None:
    source = ReasoningGymConfig(kind="reasoning_gym", generator="letter_counting", match=DOUBLED)
    problems = build_suite({"train": SplitConfig(num_problems=60, sources=[source])}, 0, Path()).problems("train")
    assert len({p.prompt for p in problems}) == 60
    assert all(re.search(DOUBLED, p.prompt) for p in problems)


def test_a_pattern_that_hangs_is_an_error_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("o1kit.tasks.suite.MATCH_S", 0.05)
    pair = (Problem("p", "t", "a" * 64 + "!"), GroundTruth("p", ""))
    with pytest.raises(DataError, match="takes too long"):
        list(matching(iter([pair]), r"^(a|aa)+$"))


def test_a_pattern_that_is_none_is_an_error_of_the_recipe() -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        JsonlConfig(kind="jsonl", path="x", match="(")
