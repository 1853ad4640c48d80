"""Rewards that ask a language model, and mixtures: exact scores of planted replies."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from o1kit.decoding import Decoding
from o1kit.errors import RewardFailure
from o1kit.protocols import Span
from o1kit.rewards.asking import Asker
from o1kit.rewards.build import alternatives_of, build_reward, engines_of
from o1kit.rewards.config import JudgeRewardConfig, Part, SelfScoreRewardConfig
from o1kit.rewards.mixture import MixtureReward
from o1kit.rewards.rubric import RubricReward
from o1kit.rewards.self_score import SelfScoreReward
from o1kit.types import Action, Completion, Problem, Score, State
from tests.rewards.test_kinds import SECTIONS, STEPS, context, made, sampled, section, steps_of

# ---- language models that judge --------------------------------------------------------------------------------------


class Says:
    """A policy that replies with given texts, in turn, and remembers what it was asked."""

    def __init__(self, *replies: str, top: tuple[tuple[str, float], ...] = ()) -> None:
        self.replies, self.top = replies, top
        self.asked: list[tuple[str, int, Decoding, Span]] = []
        self.engine: Any = None

    def start(self, asked: Problem) -> State:
        return State(asked, (0,))

    async def propose(self, state: State, n: int, *, key: int, decoding: Decoding, span: Span) -> list[Action]:
        self.asked.append((state.problem.prompt, key, decoding, span))
        text = self.replies[(len(self.asked) - 1) % len(self.replies)] if self.replies else ""
        alternatives = (tuple((i, math.log(p)) for i, (_, p) in enumerate(self.top)),) if self.top else ()
        return [Action(text, Completion((1,), (0.0,), "length", alternatives=alternatives))]

    def text(self, token_ids: Any) -> str:
        return self.top[token_ids[0]][0]


def value(kind: Callable[..., Any], config: Part, says: Any, state: State | None = None) -> float:
    found: float = asyncio.run(kind(config, Asker(says, 3)).value(state or sampled(*STEPS)))
    return found


def self_score(says: Any, **options: Any) -> float:
    return value(SelfScoreReward, SelfScoreRewardConfig(kind="self_score", **options), says)


def judged(says: Any, **options: Any) -> float:
    return value(RubricReward, section({"kind": "judge", **options}), says)


def test_marks_follow_mctsr() -> None:
    """R = [80, 60, -20] has Q = 10, which is 0.55 of the way from -100 to 100; more than 95 counts as 50."""
    replies = ("[Score] 80", "Score: 60", "fine. [Score] -20")
    assert self_score(Says(*replies), samples=3) == pytest.approx(0.55)
    assert self_score(Says("[Score] 96")) == pytest.approx(0.75)
    assert self_score(Says("[Score] 96"), suppress_above=100.0) == pytest.approx(0.98)
    assert self_score(Says("[Score] 96"), suppressed_score=0.0) == pytest.approx(0.5)


def test_a_reply_without_a_mark_is_asked_again_and_then_fails() -> None:
    says = Says("no idea", "[Score] 0")
    assert self_score(says) == 0.5
    assert len(says.asked) == 2 and len({key for _, key, *_ in says.asked}) == 2
    with pytest.raises(RewardFailure, match="1 replies hold no mark"):
        self_score(Says("no idea"), retries=0)


def test_marking_options_count() -> None:
    says = Says("[Score] 0")
    self_score(says, prompt="{answer}|{problem}", temperature=0.3, max_tokens=9)
    prompt, _, decoding, span = says.asked[0]
    assert prompt == "".join(STEPS) + "|What is 1 + 1?" and decoding.temperature == 0.3 and span.max_tokens == 9


def test_labels_are_read_from_the_next_token() -> None:
    says = Says(top=(("Yes", 0.3), (" no", 0.1), ("Y", 0.1), ("maybe", 0.5)))
    assert judged(says) == pytest.approx(0.4 / 0.5)
    assert says.asked[0][2] == Decoding(greedy=True, alternatives=20) and says.asked[0][3].max_tokens == 1
    reply = {"kind": "labels", "good": "maybe", "bad": "no", "alternatives": 7}
    assert judged(says, reply=reply) == pytest.approx(0.5 / 0.6)
    assert says.asked[-1][2].alternatives == 7
    assert judged(says, rubric="{chain}{problem}") and says.asked[-1][0] == "".join(STEPS) + "What is 1 + 1?"
    with pytest.raises(RewardFailure, match="neither 'Yes' nor 'No'"):
        judged(Says(top=(("maybe", 1.0),)))


def test_numbers_are_read_on_their_scale() -> None:
    number: dict[str, Any] = {"kind": "number"}
    assert judged(Says("Score: 7"), reply=number) == pytest.approx(0.7)
    assert judged(Says("Score: 7/10"), reply=number) == pytest.approx(0.7)
    assert judged(Says("Score: 4", "Score: 8"), reply={**number, "samples": 2}) == pytest.approx(0.6)
    assert judged(Says("Score: 2"), reply={**number, "low": 1.0, "high": 5.0}) == pytest.approx(0.25)
    says = Says("Score: 11", "none", "Score: 1")
    assert judged(says, reply={**number, "temperature": 0.2, "max_tokens": 5}) == pytest.approx(0.1)
    assert says.asked[0][2].temperature == 0.2 and says.asked[0][3].max_tokens == 5
    with pytest.raises(RewardFailure, match="2 replies hold no number from 0 to 10"):
        judged(Says("11"), reply={**number, "retries": 1})


def test_samples_do_not_depend_on_one_another() -> None:
    """Each has a key of its own, which is that of the same sample among fewer, and of no other chain."""
    few, many, other = Says("1"), Says("1"), Says("1")
    for says, n, state in ((few, 2, None), (many, 3, None), (other, 2, sampled("So the answer is 4"))):
        value(RubricReward, section({"kind": "judge", "reply": {"kind": "number", "samples": n}}), says, state)
    keys = [[key for _, key, *_ in says.asked] for says in (few, many, other)]
    assert keys[1][:2] == keys[0] and len(set(keys[1])) == 3 and not set(keys[0]) & set(keys[2])


def test_a_level_of_steps_judges_every_beginning() -> None:
    says = Says(top=(("Yes", 0.3), ("No", 0.1)))
    config: Any = JudgeRewardConfig(kind="judge", level="step", rubric="{problem}{chain}")
    asyncio.run(RubricReward(config, Asker(says, 3)).step_scores(sampled(*STEPS)))  # type: ignore[arg-type]
    assert [asked[0] for asked in says.asked] == ["What is 1 + 1?" + "".join(STEPS[:n]) for n in (1, 2, 3)]


# ---- constitutions ---------------------------------------------------------------------------------------------------


class Principled(Says):
    """Keeps to what is short with probability 0.75, and to the rest with 0.25; its critiques say `hm`."""

    def __init__(self) -> None:
        super().__init__("hm", top=(("Yes", 0.75), ("No", 0.25)))

    async def propose(self, state: State, n: int, *, key: int, decoding: Decoding, span: Span) -> list[Action]:
        self.top = (("Yes", 0.75), ("No", 0.25)) if "brief" in state.problem.prompt else (("Yes", 0.25), ("No", 0.75))
        return await super().propose(state, n, key=key, decoding=decoding, span=span)


def constitution(says: Any, **options: Any) -> float:
    from o1kit.rewards.constitution import ConstitutionReward

    base = {"kind": "constitution", "principles": ["Be brief.", "Be kind.", "Be right."]}
    return value(ConstitutionReward, section({**base, **options}), says)


def test_a_constitution_is_the_share_of_principles_kept() -> None:
    # `top` is shared by concurrent questions of the planted model, so principles are asked one at a time.
    assert constitution(Principled(), principles=["Be brief."]) == pytest.approx(0.75)
    assert constitution(Principled(), principles=["Be kind."]) == pytest.approx(0.25)
    says = Says(top=(("Yes", 0.6), ("No", 0.2)))
    assert constitution(says, alternatives=9, prompt="{problem}{chain}{principle}{critique}") == pytest.approx(0.75)
    assert len(says.asked) == 3 and says.asked[0][2].alternatives == 9
    assert says.asked[1][0] == "What is 1 + 1?" + "".join(STEPS) + "Be kind."


def test_a_critique_is_written_before_the_question() -> None:
    says = Says("hm", top=(("Yes", 0.6), ("No", 0.2)))
    options: dict[str, Any] = {"principles": ["Be kind."], "critique_prompt": "? {problem}{chain}{principle}"}
    assert constitution(says, critique_tokens=7, **options) == pytest.approx(0.75)
    critique, question = says.asked
    assert critique[0].startswith("? What is") and critique[3].max_tokens == 7
    assert "\nhm\n" in question[0]


# ---- mixtures --------------------------------------------------------------------------------------------------------


def test_a_mixture_is_the_weighted_mean_of_its_parts() -> None:
    where, state = context(), sampled(*STEPS)
    of = [{**SECTIONS["marked"], "weight": 2.0}, {**SECTIONS["orm"], "weight": 0.5}, SECTIONS["confidence"]]
    mixed = build_reward(section({"kind": "mixture", "of": of}), where)
    lines = [steps_of(build_reward(section(part), where), state) for part in of]
    expected = [(2 * a + 0.5 * b + c) / 3.5 for a, b, c in zip(*lines, strict=True)]
    assert steps_of(mixed, state) == pytest.approx(expected, abs=1e-5)
    assert asyncio.run(mixed.score(state)).value == pytest.approx(expected[-1], abs=1e-5)
    assert mixed.level == "step" and set(engines_of(mixed)) == {"prm", "orm"}
    twice = build_reward(section({"kind": "mixture", "of": [SECTIONS["orm"], SECTIONS["orm"]]}), where)
    assert twice.level == "outcome" and set(engines_of(twice)) == {"orm", "orm 2"}
    assert alternatives_of(section({"kind": "mixture", "of": of})) == 5 and alternatives_of("prm") == 0


class Fails:
    """A part that cannot judge, in the way that is given."""

    level, engine, name = "step", None, "fails"

    def __init__(self, way: Any) -> None:
        self.way = way

    async def score(self, state: State) -> Score:
        if isinstance(self.way, Exception):
            raise self.way
        return Score(0.0, "fails", outcome=self.way)

    async def step_scores(self, state: State) -> tuple[float, ...]:
        raise RewardFailure("away", "timeout")


@pytest.mark.parametrize("way", [RewardFailure("away", "timeout"), "timeout"])
def test_one_part_that_fails_makes_the_mixture_fail(way: Any) -> None:
    mixed = MixtureReward([made("prm"), Fails(way)], [1.0, 1.0])
    with pytest.raises(RewardFailure) as caught:
        asyncio.run(mixed.score(sampled(*STEPS)))
    assert caught.value.outcome == "timeout"
    with pytest.raises(RewardFailure):
        asyncio.run(mixed.step_scores(sampled(*STEPS)))
