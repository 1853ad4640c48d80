from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from o1kit import registry
from o1kit.errors import DataError
from o1kit.rewards.pool import ScoringPool
from o1kit.rewards.verifier import Verifier
from o1kit.tasks.config import SplitConfig
from o1kit.tasks.suite import Suite, build_suite
from o1kit.types import Action, Completion, Score, State

GENERATORS = ["letter_counting", "chain_sum", "spell_backward", "number_sorting", "countdown", "propositional_logic"]
HOSTILE = [
    "9**9**9",
    "__import__('os')._exit(1)",
    "__import__('os')",
    "[" * 1_000_000,
    "\0",
    "1\0" * 1000,
    "\ud800",
    "",
    " ",
    "nan",
    "1e999999",
    "9" * 5000,
    "(" * 5000 + ")" * 5000,
    "١٢٣",
]


@pytest.fixture(scope="module")
def suite() -> Suite:
    sources = [{"kind": "reasoning_gym", "generator": name} for name in GENERATORS]
    split = SplitConfig.model_validate({"num_problems": 60, "sources": sources})
    return build_suite({"heldout": split}, 0, Path())


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setitem(registry.BUILTIN["tasks"], "jsonl", "planted_scorers:Planted")
    split = SplitConfig.model_validate({"num_problems": 100, "sources": [{"kind": "jsonl", "path": "any.jsonl"}]})
    return build_suite({"heldout": split}, 0, Path())


def chain(suite: Suite, index: int, text: str) -> State:
    return State(suite.problems("heldout")[index], (1,), (Action(text, Completion((2,), (0.0,), "answer")),))


def test_the_generators_own_answers_are_right_and_no_answer_is_told_apart(suite: Suite, pool: ScoringPool) -> None:
    problems = [p for p in suite.problems("heldout") if suite.truth(p).answer]
    verifier = Verifier(suite, pool)
    scores = verifier.score_answers([(suite.truth(p), suite.truth(p).answer) for p in problems])
    assert scores == [Score(1.0, "verifier", oracle=True, outcome="right")] * len(problems)
    assert verifier.score_answers([(suite.truth(problems[0]), None)]) == [
        Score(0.0, "verifier", oracle=True, outcome="no_answer")
    ]


@pytest.mark.slow
def test_hostile_answers_end_in_a_typed_outcome_within_the_limit(suite: Suite, pool: ScoringPool) -> None:
    verifier = Verifier(suite, pool, max_failures=1.0)
    pairs = [(suite.truth(p), answer) for p in suite.problems("heldout")[: len(GENERATORS)] for answer in HOSTILE]
    start = time.monotonic()
    scores = verifier.score_answers(pairs)
    assert time.monotonic() - start < 60
    assert {score.outcome for score in scores} <= {"wrong", "error", "timeout"}
    assert all(score.value == 0.0 for score in scores)


@pytest.mark.parametrize("length", [6, 7, 9, 10])
def test_an_answer_with_something_appended_is_wrong(pool: ScoringPool, length: int) -> None:
    """reasoning_gym's own score is 0.9999999999999999 or 1.0000000000000002 here."""
    source = {
        "kind": "reasoning_gym",
        "generator": "spell_backward",
        "params": {"min_word_len": length, "max_word_len": length},
    }
    suite = build_suite({"heldout": SplitConfig.model_validate({"num_problems": 5, "sources": [source]})}, 0, Path())
    truths = [suite.truth(p) for p in suite.problems("heldout")]
    scores = Verifier(suite, pool).score_answers([(t, t.answer + "zz") for t in truths])
    assert [s.outcome for s in scores] == ["wrong"] * 5
    assert [suite.score(p, suite.truth(p).answer + "zz").value for p in suite.problems("heldout")] == [0.0] * 5


def test_chains_are_judged_by_their_extracted_answer(suite: Suite, pool: ScoringPool) -> None:
    verifier = Verifier(suite, pool, answer_of=lambda state: state.text.partition("=")[2] or None)

    async def main() -> list[Score]:
        answers = [suite.truth(suite.problems("heldout")[i]).answer for i in range(3)]
        texts = [f"so={answers[0]}", "so=nonsense", "no answer at all"]
        return await asyncio.gather(*(verifier.score(chain(suite, i, text)) for i, text in enumerate(texts)))

    scores = asyncio.run(main())
    assert [s.outcome for s in scores] == ["right", "wrong", "no_answer"]
    assert all(s.oracle and s.source == "verifier" for s in scores)
    assert verifier.counts == {"right": 1, "wrong": 1, "no_answer": 1}


def test_concurrent_chains_share_requests(suite: Suite, pool: ScoringPool, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    judge = pool.judge_async

    async def counted(jobs):  # type: ignore[no-untyped-def]
        sizes.append(len(jobs))
        return await judge(jobs)

    monkeypatch.setattr(pool, "judge_async", counted)
    verifier = Verifier(suite, pool, answer_of=lambda state: "7")

    async def main() -> None:
        await asyncio.gather(*(verifier.score(chain(suite, i, "")) for i in range(40)))

    asyncio.run(main())
    assert sizes == [40]


def test_a_planted_hang_and_crash_are_outcomes_and_the_pool_stays_healthy(planted: Suite, pool: ScoringPool) -> None:
    truth = planted.truth(planted.problems("heldout")[0])
    verifier = Verifier(planted, pool)
    scores = verifier.score_answers([(truth, command) for command in ("spin", "right", "exit", "wrong")])
    assert [s.outcome for s in scores] == ["timeout", "right", "error", "wrong"]
    assert [s.value for s in scores] == [0.0, 1.0, 0.0, 0.0]
    assert verifier.take() == {"right": 1, "wrong": 1, "no_answer": 0, "error": 1, "timeout": 1}
    assert verifier.score_answers([(truth, "right")])[0].outcome == "right"
    assert verifier.take() == {"right": 1, "wrong": 0, "no_answer": 0, "error": 0, "timeout": 0}


def test_too_many_failures_stop_the_run(planted: Suite, pool: ScoringPool) -> None:
    truth = planted.truth(planted.problems("heldout")[0])
    verifier = Verifier(planted, pool)
    verifier.score_answers([(truth, "raise")] * 19)  # too few to judge by
    with pytest.raises(
        DataError, match=r"20 of 20 answers \(20 errors, 0 timeouts\), more than 5%.*ValueError: planted"
    ):
        verifier.score_answers([(truth, "raise")])
    assert len(Verifier(planted, pool).score_answers([(truth, "raise")] + [(truth, "right")] * 19)) == 20


def test_unanswered_chains_do_not_hide_failures(planted: Suite, pool: ScoringPool) -> None:
    truth = planted.truth(planted.problems("heldout")[0])
    with pytest.raises(DataError):
        Verifier(planted, pool).score_answers([(truth, None)] * 500 + [(truth, "raise")] * 20)


def test_chains_need_an_extractor(suite: Suite, pool: ScoringPool) -> None:
    with pytest.raises(ValueError, match="answer_of"):
        asyncio.run(Verifier(suite, pool).score(chain(suite, 0, "")))


def test_a_large_batch_comes_back_whole_and_in_order(suite: Suite, pool: ScoringPool) -> None:
    cheap = [p for p in suite.problems("heldout") if p.task in ("letter_counting", "chain_sum", "spell_backward")]
    truths = [suite.truth(p) for p in cheap]
    pairs = [(t, t.answer if (i + n) % 3 else "no") for n in range(300) for i, t in enumerate(truths)]
    found = Verifier(suite, pool).score_answers(pairs)
    assert [score.value == 1.0 for score in found] == [answer == truth.answer for truth, answer in pairs]


def test_at_the_end_failures_count_however_few_they_are(planted: Suite, pool: ScoringPool) -> None:
    verifier = Verifier(planted, pool)
    truth = planted.truth(planted.problems("heldout")[0])
    verifier.reading(lambda state: None).score_answers([(truth, "raise")] * 2 + [(truth, "right"), (truth, None)])
    verifier.check()
    with pytest.raises(DataError, match=r"2 of 3 answers \(2 errors, 0 timeouts\), more than 5%.*ValueError: planted"):
        verifier.check(end=True)
