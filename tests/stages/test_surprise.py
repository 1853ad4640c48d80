"""A reward model that reads the policy's surprise: it learns from it, and reads at use what it was trained on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from pydantic import ValidationError

from o1kit.errors import DataError, RewardFailure
from o1kit.functional.surprise import surprise, weighed
from o1kit.models.load import load_directory
from o1kit.models.reading import Inner, Reading, read_reading, reading_ids
from o1kit.report.label_schema import LabelRecord
from o1kit.rewards.chains import Chains
from o1kit.rewards.prm import PrmReward
from o1kit.stages.evaluate.judged import chain_of
from o1kit.stages.prm import measure
from o1kit.stages.prm.data import PrmData
from o1kit.stages.prm.measure import calibrated, fit, probabilities, read_examples
from o1kit.stages.prm.module import PrmModule
from o1kit.types import Action, Completion, Problem, State
from tests.small import RECIPE, small
from tests.stages.test_reward_training import FROM, MARKED, PRM, TOKENS, model_of, paired, records, staged, trained
from tests.tiny import engine_of

BY_SURPRISE = {"by": "head", "surprise": True}


def told(rows: int = 40) -> list[LabelRecord]:
    """Chains that look alike: right and wrong ones differ in nothing but how probable their tokens were."""
    rng, template, found = Random(0), model_of()[1], []
    prompt_ids = list(template.prompt(Problem("", "", "ef?")))
    for p in range(rows):
        for right in (True, False):
            steps = ["".join(rng.choices("abcd", k=3)) + " ok\n" for _ in range(3)]
            ids = [template.encode(step) for step in steps]
            found.append(
                LabelRecord(
                    problem=f"p{p}",
                    prompt="ef?",
                    steps=steps,
                    labels=[float(right)] * 3,
                    correct=right,
                    prompt_ids=prompt_ids,
                    step_ids=ids,
                    step_logprobs=[[-0.05 if right else -0.9] * len(step) for step in ids],
                    provenance=FROM,
                )
            )
    return found


@pytest.mark.parametrize(("by_surprise", "least", "most"), [(True, 0.99, 1.0), (False, 0.0, 0.8)])
def test_what_chains_do_not_show_is_learned_from_surprise(
    by_surprise: bool, least: float, most: float, tmp_path: Path
) -> None:
    made = staged(tmp_path, told(), reading=BY_SURPRISE | {"surprise": by_surprise}, calibrate=True)
    assert least <= trained(made, tmp_path)["prm/auc"] <= most
    weights = read_reading(tmp_path / "prm").surprise
    assert (len(weights) == 3 and all(w > 0 for w in weights)) if by_surprise else not weights


def test_what_is_trained_is_what_is_read(tmp_path: Path) -> None:
    rows = told(20)
    made = staged(tmp_path, rows, reading=BY_SURPRISE, calibrate=True)
    trained(made, tmp_path)
    model, _ = load_directory(tmp_path / "prm")
    template = model_of()[1]
    reward = PrmReward(engine_of(model, template), Chains(surprise=read_reading(tmp_path / "prm").surprise))
    data: Any = made.data
    held = {example.problem for example in data.heldout_examples}
    module: Any = made.module
    wanted = [probabilities(r.logits) for r in read_examples(module.model, data.heldout_examples)]

    async def read() -> list[tuple[float, ...]]:
        chains = [chain_of(row, template) for row in rows if row.problem in held]
        return list(await asyncio.gather(*map(reward.step_scores, chains)))

    for found, expected in zip(asyncio.run(read()), wanted, strict=True):
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("reading", [{"by": "head"}, TOKENS, MARKED], ids=["head", "tokens", "marks"])
@pytest.mark.parametrize("by_surprise", [True, False])
def test_steps_before_the_end_are_read_as_they_were_calibrated(
    reading: dict[str, Any], by_surprise: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exported folder says of every step what the model said, moved by the fit for ends or for steps before."""
    monkeypatch.setattr(measure, "LEAST", 8)
    rng, rows = Random(3), []
    for record in told(60):
        likely = 0.8 if record.correct else 0.4
        *inner, end = (float(rng.random() < p) for p in (0.5 * likely, 0.5 * likely, likely))
        rows.append(record.model_copy(update={"labels": [*inner, end], "correct": bool(end)}))
    options: dict[str, Any] = {"reading": reading | {"surprise": by_surprise}, "steps": 8}
    plain = staged(tmp_path / "plain", rows, **options)
    trained(plain, tmp_path / "plain")
    module, data = cast(PrmModule, plain.module), cast(PrmData, plain.data)
    raw = read_examples(module.model, data.heldout_examples)
    fits = fit(raw)
    assert fits.ends != fits.inner
    wanted = [probabilities(calibrated(r, fits).logits) for r in raw]

    trained(staged(tmp_path, rows, calibrate=True, **options), tmp_path)
    (model, tokenizer), said = load_directory(tmp_path / "prm"), read_reading(tmp_path / "prm")
    assert said.inner is not None and said.inner.scale == pytest.approx(fits.inner.scale / fits.ends.scale)
    template = model_of()[1]
    chains = Chains(reading_ids(said, tokenizer).mark, surprise=said.surprise, inner=said.inner)
    reward = PrmReward(engine_of(model, template), chains)
    held = {example.problem for example in data.heldout_examples}

    async def read() -> list[tuple[float, ...]]:
        states = [chain_of(row, template) for row in rows if row.problem in held]
        ends = await asyncio.gather(*map(reward.score, states))
        steps = list(await asyncio.gather(*map(reward.step_scores, states)))
        assert [end.value for end in ends] == pytest.approx([own[-1] for own in steps], abs=1e-5)
        state, own = states[0], steps[0]
        begun = State(state.problem, state.prompt_ids, state.actions[:1])
        assert (await reward.score(begun)).value == pytest.approx(own[0], abs=1e-5), "a chain that goes on has no end"
        return steps

    for found, expected in zip(asyncio.run(read()), wanted, strict=True):
        assert found == pytest.approx(expected, abs=1e-4)


def test_surprise_adds_to_the_log_odds_and_needs_log_probabilities() -> None:
    model, template = model_of()
    model.add_head()
    engine, weights = engine_of(model, template), [1.0, 2.0, 4.0]
    ids = tuple(template.encode("ab ok\n"))

    def state(logprobs: tuple[float, ...], given: int = 0) -> State:
        problem = Problem("p", "", "e?")
        action = Action("ab ok\n", Completion(ids, logprobs, "step", given=given))
        return State(problem, tuple(template.prompt(problem)), (action,))

    drawn = tuple(-0.1 * (i + 1) for i in range(len(ids)))
    for given in (0, 1):
        (features,) = surprise([[None] * given + list(drawn[given:])])
        (found,) = asyncio.run(Chains(surprise=weights).each(engine, state(drawn, given)))
        assert found == pytest.approx(weighed(features, weights)), "the head of a new model adds nothing"
    with pytest.raises(RewardFailure, match="how probable"):
        asyncio.run(Chains(surprise=weights).last(engine, state(())))
    assert asyncio.run(Chains().each(engine, state(()))) == [0.0]


def test_labels_that_do_not_tell_are_refused(tmp_path: Path) -> None:
    made = staged(tmp_path, records(4), reading=BY_SURPRISE)
    with pytest.raises(DataError, match=r"do not tell how probable.*reading.surprise: false"):
        made.data.setup("fit")
    other = tmp_path / "pairs"
    made = staged(other, paired(records(4)), reading=BY_SURPRISE, objective={"kind": "pairwise"})
    with pytest.raises(DataError, match="preference pairs do not tell"):
        made.data.setup("fit")


def test_a_question_about_two_texts_has_no_surprise() -> None:
    reading = {"by": "tokens", "good": "+", "bad": "-", "surprise": True}
    section = PRM | {"labels": {"kind": "monte_carlo"}, "objective": {"kind": "pairwise"}, "reading": reading}
    with pytest.raises(ValidationError, match="has no `surprise`"):
        small(stages=[RECIPE["stages"][0], section])
    with pytest.raises(ValidationError, match="3 weights"):
        Reading(surprise=[1.0])
    with pytest.raises(ValidationError, match="as many weights"):
        Reading(surprise=[1.0, 1.0, 1.0], inner=Inner(scale=2.0))


@pytest.mark.parametrize(
    ("ids", "logprobs"), [([[1], [2, 3]], [[-0.1], [-0.1]]), ([], [[-0.1], [-0.1]]), ([[1], [2]], [[-0.1]])]
)
def test_a_record_tells_of_every_token_or_of_none(ids: Any, logprobs: Any) -> None:
    with pytest.raises(ValidationError, match="step_logprobs"):
        LabelRecord(
            problem="p", prompt="", steps=["a", "b"], labels=[1, 0], step_ids=ids, step_logprobs=logprobs,
            provenance=FROM,
        )  # fmt: skip
