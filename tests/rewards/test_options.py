"""Every option of every reward section changes what chains are worth, or what PPO pays for them."""

from __future__ import annotations

import asyncio
import math
from hashlib import blake2b
from types import SimpleNamespace
from typing import Any

import pytest

from o1kit.decoding import Decoding
from o1kit.errors import RewardFailure
from o1kit.protocols import Span
from o1kit.rewards.build import RewardContext, build_reward, named_parts
from o1kit.rewards.config import (
    CalculatorConfig,
    ConfidenceConfig,
    ConstitutionConfig,
    JudgeRewardConfig,
    LabelReplyConfig,
    LikelihoodConfig,
    MixtureConfig,
    NumberReplyConfig,
    OrmRewardConfig,
    PairwiseRewardConfig,
    PrmRewardConfig,
    SelfScoreRewardConfig,
    ValueHeadConfig,
    VerifierConfig,
)
from o1kit.stages.ppo.collector import Collector
from o1kit.types import Action, Completion, Problem, Score, State, Trajectory
from tests.rewards.test_kinds import READINGS, STEPS, context, sampled, section


class Whims:
    """A policy whose replies depend on everything that it is asked with, and on nothing else."""

    def __init__(self, model: str | None) -> None:
        self.model = model
        self.engine: Any = SimpleNamespace(ledger=None, refresh=lambda: None)

    def start(self, asked: Problem) -> State:
        return State(asked, (0,))

    async def propose(self, state: State, n: int, *, key: int, decoding: Decoding, span: Span) -> list[Action]:
        seen = repr((self.model, state.problem.prompt, key, decoding, span)).encode()
        whim = int.from_bytes(blake2b(seen, digest_size=4).digest(), "big")
        text = f"Score: {whim % 131}" if whim % 5 else "no idea"
        words = enumerate((0.1 + whim % 997 / 2000, 0.3, 0.05, 0.05))
        return [
            Action(text, Completion((1,), (0.0,), "length", alternatives=(tuple((i, math.log(p)) for i, p in words),)))
        ]

    def text(self, token_ids: Any) -> str:
        return ("Yes", "no", "fine", "bad")[token_ids[0]]


class Verifies:
    async def score(self, state: State) -> Score:
        return Score(1.0, "verifier", oracle=True)


CHAINS = [sampled(*STEPS), sampled("So the answer is 4"), sampled("Hm ok\n", "So the answer is 7")]
WHERE = context()


def where(real: bool) -> RewardContext:
    if real:
        return context()
    asked: Any = Whims
    return RewardContext(WHERE.policy, WHERE.scorer, asked, 5, WHERE.verifier, lambda section: asked(section.engine))


def worth(data: Any, real: bool = False) -> list[Any]:
    """What a reward says of some chains, and at each step of the first."""
    reward = build_reward(section(data), where(real))

    async def one(state: State) -> float | str:
        try:
            return round((await reward.score(state)).value, 6)
        except RewardFailure:
            return "failed"

    async def steps() -> Any:
        try:
            return [round(x, 6) for x in await reward.step_scores(CHAINS[0])]
        except RewardFailure:
            return "failed"

    async def both() -> list[Any]:
        return [*await asyncio.gather(*map(one, CHAINS)), await steps()]

    return asyncio.run(both())


def pay(data: Any) -> list[float]:
    """What PPO pays for each token of a chain."""
    config = section(data)
    parts = named_parts(config)
    models = {n: build_reward(part, context()) for n, part in parts.items() if not isinstance(part, VerifierConfig)}
    collector: Any = object.__new__(Collector)
    collector.config, collector.verifier = SimpleNamespace(reward=config), Verifies()
    collector.policy, collector.reward_models = context().policy, models
    state = CHAINS[0]
    return asyncio.run(collector._rewards(Trajectory(state, "2"), models))  # type: ignore[no-any-return]


SELF = {"kind": "self_score", "samples": 2}
NUMBER: dict[str, Any] = {"kind": "judge", "reply": {"kind": "number", "high": 100.0}}
LABELS: dict[str, Any] = {"kind": "judge"}
RULES: dict[str, Any] = {"kind": "constitution", "principles": ["a", "b"]}
SERVERS = {"kind": "http", "endpoints": ["http://h:1"]}
LIKELY: dict[str, Any] = {"kind": "likelihood", "model": "sft"}
PAIRS: dict[str, Any] = {"kind": "pairwise", "model": "asked", "anchors": 1}
CRITIC = {**RULES, "critique_tokens": 5}


def number(**options: Any) -> dict[str, Any]:
    return {**NUMBER, "reply": {**NUMBER["reply"], **options}}


def labels(**options: Any) -> dict[str, Any]:
    return {**LABELS, "reply": {"kind": "labels", **options}}


FLIPS: list[tuple[Any, str, dict[str, Any], dict[str, Any]]] = [
    (SelfScoreRewardConfig, "model", SELF, {**SELF, "model": "sft"}),
    (SelfScoreRewardConfig, "engine", SELF, {**SELF, "engine": SERVERS}),
    (SelfScoreRewardConfig, "level", SELF, {**SELF, "level": "step"}),
    (SelfScoreRewardConfig, "samples", SELF, {**SELF, "samples": 5}),
    (SelfScoreRewardConfig, "temperature", SELF, {**SELF, "temperature": 0.5}),
    (SelfScoreRewardConfig, "prompt", SELF, {**SELF, "prompt": "{answer} {problem}"}),
    (SelfScoreRewardConfig, "max_tokens", SELF, {**SELF, "max_tokens": 9}),
    (SelfScoreRewardConfig, "retries", {**SELF, "samples": 9}, {**SELF, "samples": 9, "retries": 0}),
    (SelfScoreRewardConfig, "suppress_above", SELF, {**SELF, "suppress_above": 50.0}),
    (
        SelfScoreRewardConfig,
        "suppressed_score",
        {**SELF, "samples": 9},
        {**SELF, "samples": 9, "suppressed_score": -50.0},
    ),
    (JudgeRewardConfig, "model", LABELS, {**LABELS, "model": "sft"}),
    (JudgeRewardConfig, "engine", LABELS, {**LABELS, "engine": SERVERS}),
    (JudgeRewardConfig, "level", LABELS, {**LABELS, "level": "step"}),
    (JudgeRewardConfig, "rubric", LABELS, {**LABELS, "rubric": "{chain} {problem}"}),
    (JudgeRewardConfig, "reply", LABELS, NUMBER),
    (LabelReplyConfig, "good", LABELS, labels(good="fine")),
    (LabelReplyConfig, "bad", LABELS, labels(bad="bad")),
    (LabelReplyConfig, "alternatives", LABELS, labels(alternatives=4)),
    (NumberReplyConfig, "low", NUMBER, number(low=-50.0)),
    (NumberReplyConfig, "high", NUMBER, number(high=200.0)),
    (NumberReplyConfig, "samples", NUMBER, number(samples=3)),
    (NumberReplyConfig, "temperature", NUMBER, number(temperature=0.5)),
    (NumberReplyConfig, "max_tokens", NUMBER, number(max_tokens=9)),
    (NumberReplyConfig, "retries", number(samples=5), number(samples=5, retries=0)),
    (ConstitutionConfig, "model", RULES, {**RULES, "model": "sft"}),
    (ConstitutionConfig, "engine", RULES, {**RULES, "engine": SERVERS}),
    (ConstitutionConfig, "level", RULES, {**RULES, "level": "step"}),
    (ConstitutionConfig, "principles", RULES, {**RULES, "principles": ["a"]}),
    (ConstitutionConfig, "prompt", RULES, {**RULES, "prompt": "{problem} {chain} {principle} {critique}"}),
    (ConstitutionConfig, "critique_tokens", RULES, CRITIC),
    (ConstitutionConfig, "critique_prompt", CRITIC, {**CRITIC, "critique_prompt": "{problem}{chain}{principle}"}),
    (ConstitutionConfig, "alternatives", RULES, {**RULES, "alternatives": 7}),
    (PairwiseRewardConfig, "model", PAIRS, {"kind": "pairwise", "model": "pairs"}),
    (PairwiseRewardConfig, "anchors", PAIRS, {**PAIRS, "anchors": 2}),
    (PairwiseRewardConfig, "temperature", PAIRS, {**PAIRS, "temperature": 0.3}),
    (ConfidenceConfig, "top", {"kind": "confidence"}, {"kind": "confidence", "top": 2}),
    (PrmRewardConfig, "model", {"kind": "prm", "model": "prm"}, {"kind": "prm", "model": "marked"}),
    (OrmRewardConfig, "model", {"kind": "orm", "model": "orm"}, {"kind": "orm", "model": "orm2"}),
    (MixtureConfig, "of", {"kind": "mixture", "of": [LABELS]}, {"kind": "mixture", "of": [LABELS, NUMBER]}),
    (LikelihoodConfig, "model", LIKELY, {**LIKELY, "model": "model"}),
    (LikelihoodConfig, "tokens", LIKELY, {**LIKELY, "tokens": "geometric_mean"}),
    (LikelihoodConfig, "tokens", LIKELY, {**LIKELY, "tokens": "product"}),
]
BRIEF = {"rubric": "{problem}{chain}", "reply": {"kind": "labels", "good": "a", "bad": "b", "alternatives": 100}}
PRINCIPLED = {"principles": ["x"], "prompt": "{problem}{chain}{principle}{critique}", "alternatives": 100}
PAID: list[tuple[Any, dict[str, Any]]] = [
    (VerifierConfig, {"kind": "verifier"}),
    (PrmRewardConfig, {"kind": "prm", "model": "prm"}),
    (OrmRewardConfig, {"kind": "orm", "model": "orm"}),
    (PairwiseRewardConfig, {"kind": "pairwise", "model": "pairs"}),
    (ConfidenceConfig, {"kind": "confidence"}),
    (ValueHeadConfig, {"kind": "value_head"}),
    (LikelihoodConfig, {"kind": "likelihood", "model": "sft"}),
    (CalculatorConfig, {"kind": "calculator"}),
    (JudgeRewardConfig, {"kind": "judge", **BRIEF}),
    (ConstitutionConfig, {"kind": "constitution", **PRINCIPLED}),
]


@pytest.mark.parametrize(("kind", "option", "base", "changed"), FLIPS)
def test_every_option_changes_the_judgement(
    kind: Any, option: str, base: dict[str, Any], changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(READINGS, "orm2", READINGS["orm"].model_copy(update={"mark": "#"}))
    real = kind in (PairwiseRewardConfig, LikelihoodConfig)
    one = worth(base, real)
    assert one == worth(base, real), "the same again"
    assert one != worth(changed, real)


@pytest.mark.parametrize(("kind", "base"), PAID)
def test_weights_scale_what_ppo_pays(kind: Any, base: dict[str, Any]) -> None:
    once, twice = pay(base), pay({**base, "weight": 2.0})
    assert twice == pytest.approx([2 * x for x in once], abs=1e-6) and any(once)
    mixed = pay({"kind": "mixture", "of": [{"kind": "verifier"}, {**base, "weight": 2.0}]})
    assert mixed == pytest.approx([x + (i == len(once) - 1) for i, x in enumerate(twice)], abs=1e-6)


def test_a_penalty_takes_what_is_broken() -> None:
    base = {"kind": "constitution", **PRINCIPLED}
    (kept, *_), (lost, *_) = sorted(pay(base))[-1:], sorted(pay({**base, "pays": "penalty"}))[:1]
    assert 0 < kept < 1 and lost == pytest.approx(kept - 1)


def test_weights_count_in_a_mean() -> None:
    parts = [SELF, {**LABELS, "weight": 3.0}]
    mixed, ours, theirs = (worth(data)[0] for data in ({"kind": "mixture", "of": parts}, *parts))
    assert mixed == pytest.approx((ours + 3 * theirs) / 4, abs=1e-5)
    light = worth({"kind": "mixture", "of": [{**SELF, "weight": 0.5}, {**LABELS, "weight": 3.0}]})[0]
    assert light == pytest.approx((0.5 * ours + 3 * theirs) / 3.5, abs=1e-5) != mixed


def test_no_option_is_left_out() -> None:
    tested = {(kind, option) for kind, option, *_ in FLIPS} | {(kind, "weight") for kind, _ in PAID}
    tested |= {(ConstitutionConfig, "pays"), (CalculatorConfig, "forms"), (CalculatorConfig, "factor")}
    tested.add((SelfScoreRewardConfig, "weight"))  # in a mean
    kinds = {kind for kind, _ in tested}
    missing = {(kind, name) for kind in kinds for name in kind.model_fields if name != "kind"} - tested
    assert not missing
