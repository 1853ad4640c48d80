"""What a fresh pair of eyes found in the stages of rewards and evaluation: each of these was wrong once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from o1kit.engines.spelling import spell_record
from o1kit.report.label_schema import LabelRecord, Provenance
from o1kit.stages.evaluate.judged import JudgedChain, chain_of, label_metrics
from o1kit.stages.evaluate.shared import SharedScores
from o1kit.stages.prm.config import ReadingConfig
from o1kit.types import Action, Completion, Problem, Score, State
from tests.stages.test_reward_training import model_of

FROM = Provenance(source="test")


class OnePerStep:
    """Scores each step by its length."""

    async def score(self, state: State) -> Score:
        return Score(0.5, "x")

    async def step_scores(self, state: State) -> tuple[float, ...]:
        return tuple(1 / len(action.completion.token_ids) for action in state.actions)


def cut(*lengths: int) -> State:
    """Four tokens as steps of these lengths."""
    tokens, actions, at = (5, 6, 7, 8), [], 0
    for n in lengths:
        actions.append(Action("x" * n, Completion(tokens[at : at + n], (0.0,) * n, "step")))
        at += n
    return State(Problem("p", "", "?"), (1,), tuple(actions))


def test_the_same_tokens_cut_otherwise_have_scores_of_their_own() -> None:
    async def read() -> list[tuple[float, ...]]:
        shared = SharedScores(OnePerStep())
        return [await shared.step_scores(state) for state in (cut(2, 2), cut(4), cut(1, 1, 2), cut(2, 2))]

    assert asyncio.run(read()) == [(0.5, 0.5), (0.25,), (1.0, 1.0, 0.5), (0.5, 0.5)]


@pytest.mark.parametrize("correct", [None, True, False])
def test_a_finished_text_ends_where_it_was_trained_to_end(correct: bool | None) -> None:
    _, template = model_of()
    finished = LabelRecord(
        problem="p", prompt="ab?", steps=["ab ok\n", "So the answer is a"], labels=[1, 1], correct=correct,
        provenance=FROM,
    )  # fmt: skip
    spelled = spell_record(template, finished)
    state = chain_of(finished, template)
    assert state.token_ids == (*spelled.prompt_ids, *spelled.chain_ids)
    ended = spelled.chain_ids[-1] == template.eos_id
    assert (state.actions[-1].completion.finish == "answer") is ended
    assert ended


def test_recorded_tokens_without_a_prompt_are_read_after_the_problem() -> None:
    _, template = model_of()
    ids = template.encode("ab ok\n")
    record = LabelRecord(problem="p", prompt="ef?", steps=["ab ok\n"], labels=[1], step_ids=[ids], provenance=FROM)
    assert spell_record(template, record).prompt_ids == tuple(template.prompt(Problem("p", "", "ef?")))


def test_a_judge_of_whole_chains_is_measured_at_their_ends() -> None:
    """It knows the ends; that it tells the steps before them apart too is no merit of its own."""
    chains = [
        JudgedChain("a", (1.0, 0.0, 0.0), (0.1, 0.1, 0.1)),
        JudgedChain("b", (1.0, 1.0, 1.0), (0.9, 0.9, 0.9)),
    ]
    ends = [c._replace(labels=c.labels[-1:], scores=c.scores[-1:]) for c in chains]
    found = label_metrics(ends, "outcome")
    assert found["steps"] == 2 and found["auc"] == 1.0 and not {"f1", "auc_whole_chains"} & found.keys()
    assert "f1" in label_metrics(chains)


@pytest.mark.parametrize(
    "options",
    [{"by": "tokens", "good": "+", "bad": "+"}, {"by": "head", "good": "+"}, {"by": "tokens", "good": "+"}],
)
def test_readings_that_contradict_themselves_are_refused(options: Any) -> None:
    with pytest.raises(ValidationError):
        ReadingConfig(**options)


def test_a_step_without_a_token_could_not_be_read() -> None:
    with pytest.raises(ValidationError, match="a step is empty"):
        LabelRecord(problem="p", prompt="", steps=["a", ""], labels=[1, 0], provenance=FROM)
    with pytest.raises(ValidationError, match="a step is empty"):
        LabelRecord(problem="p", prompt="", steps=["a", "b"], labels=[1, 0], step_ids=[[1], []], provenance=FROM)
    ended = LabelRecord(problem="p", prompt="", steps=["a", ""], labels=[1, 0], step_ids=[[1], [2]], provenance=FROM)
    assert ended.steps[1] == "", "end-of-text alone says nothing, and is a token"
