"""Every kind of reward on real tiny models and on planted ones: what is read, where, and what it costs."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any, cast

import pytest
import torch

from o1kit.engines.policy import LanguagePolicy, PromptTemplate
from o1kit.errors import DataError, RewardFailure
from o1kit.functional.pairwise_prompt import comparison_prompt
from o1kit.models.reading import Reading
from o1kit.models.tokenizer import build_char_tokenizer
from o1kit.rewards.build import RewardContext, Scorer, build_reward, engines_of
from o1kit.rewards.chains import Chains, same_tokens
from o1kit.rewards.config import RewardConfig
from o1kit.rewards.pairwise import HeadPairs
from o1kit.rewards.prm import OrmReward, PrmReward
from o1kit.types import Action, Completion, Score, State, Usage
from tests.tiny import PHRASES, engine_of, policy_of, problem, tiny

MODEL, TEMPLATE = tiny(context=900, head=True)
with torch.no_grad():  # values of a policy lie between 0 and 1
    MODEL.head.weight.mul_(0.02)  # type: ignore[union-attr]
    MODEL.head.bias.fill_(0.5)  # type: ignore[union-attr]
JUDGE = tiny(seed=7, head=True, context=900)[0]
STEPS = ("1+1=2 ok\n", "So 2\n", "So the answer is 2")
SHORT = {"rubric": "{problem} {chain}?", "reply": {"kind": "labels", "good": "a", "bad": "b", "alternatives": 100}}
READINGS = {
    "prm": Reading(),
    "marked": Reading(mark="#"),
    "tokens": Reading(by="tokens", good="+", bad="-"),
    "orm": Reading(kind="orm"),
    "pairs": Reading(kind="pairwise"),
    "asked": Reading(kind="pairwise", by="tokens", good="Y", bad="N"),
}
SECTIONS: dict[str, Any] = {
    "prm": "prm",
    "marked": {"kind": "prm", "model": "marked"},
    "tokens": {"kind": "prm", "model": "tokens"},
    "orm": {"kind": "orm", "model": "orm"},
    "pairs": {"kind": "pairwise", "model": "pairs"},
    "asked": {"kind": "pairwise", "model": "asked", "anchors": 2},
    "confidence": {"kind": "confidence"},
    "value_head": {"kind": "value_head"},
    "likelihood": {"kind": "likelihood", "model": "sft", "tokens": "product"},
    "judge": {"kind": "judge", **SHORT},
    "judge steps": {"kind": "judge", **SHORT, "level": "step"},
    "constitution": {
        "kind": "constitution",
        "principles": ["Be brief.", "Be right."],
        "prompt": "{problem}{chain}{principle}{critique}",
        "alternatives": 100,
    },
}
OUTCOME = {"orm", "pairs", "asked", "judge", "constitution"}


def section(data: Any) -> Any:
    from pydantic import TypeAdapter

    return data if isinstance(data, str) else TypeAdapter(RewardConfig).validate_python(data)


class RightAnswer:
    """A verifier of `So the answer is 2`, which it is asked for finished chains only."""

    async def score(self, state: State) -> Score:
        assert state.terminal
        return Score(float(state.text.endswith("2")), "verifier", oracle=True)


def context(max_batch: int = 64) -> RewardContext:
    policy = policy_of(MODEL, TEMPLATE, max_batch=max_batch)

    def scorer(name: str) -> Scorer:
        reading, model = READINGS[name], tiny(seed=7, head=True, context=900)[0]
        if reading.by == "tokens":
            model.label_ids = tuple(TEMPLATE.encode(reading.good) + TEMPLATE.encode(reading.bad))  # type: ignore[assignment]
        return Scorer(engine_of(model, TEMPLATE, max_batch=max_batch), TEMPLATE, reading)

    def asked(name: str | None) -> LanguagePolicy:
        model = MODEL if name in (None, "model") else JUDGE
        return LanguagePolicy(engine_of(model, TEMPLATE, max_batch=max_batch), TEMPLATE, 24, judges=True)

    return RewardContext(policy, scorer, asked, 5, lambda: cast(Any, RightAnswer()))


def made(kind: str, **options: Any) -> Any:
    return build_reward(section(SECTIONS[kind]), context(**options))


def sampled(*texts: str, finish: str = "answer") -> State:
    """A chain of given texts, with the log-probabilities and alternatives that the policy gives each token."""
    state, model = State(problem(), tuple(TEMPLATE.prompt(problem()))), MODEL
    for i, text in enumerate(texts):
        ids = TEMPLATE.encode(text)
        last = i == len(texts) - 1
        if last and finish == "answer":
            ids = [*ids, TEMPLATE.eos_id]
        with torch.no_grad():
            hidden = model.hidden(torch.tensor([[*state.token_ids, *ids]]), use_cache=False)[0]
            logprobs = torch.log_softmax(model.logits(hidden), -1)[len(state.token_ids) - 1 : -1]
        top = logprobs.topk(10)
        told = tuple(
            tuple(zip(i.tolist(), v.tolist(), strict=True)) for i, v in zip(top.indices, top.values, strict=True)
        )
        chosen = tuple(float(logprobs[n, t]) for n, t in enumerate(ids))
        kind: Any = finish if last else "step"
        state = state.after(Action(text, Completion(tuple(ids), chosen, kind, alternatives=told)))
    return state


def steps_of(reward: Any, state: State) -> tuple[float, ...]:
    found: tuple[float, ...] = asyncio.run(reward.step_scores(state))
    return found


# ---- all kinds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_step_is_judged_where_it_ends(kind: str) -> None:
    """A step's score changes with its own text; with that of a later one only for kinds that judge whole chains."""
    reward = made(kind)
    assert (reward.level == "outcome") == (kind in OUTCOME)
    base = steps_of(reward, sampled(*STEPS))
    later = steps_of(reward, sampled(*STEPS[:2], "So the answer is 7"))
    own = steps_of(reward, sampled(STEPS[0], "So 9\n", STEPS[2]))
    assert len(base) == 3 and all(0 <= x <= 1 for x in base)
    assert base[1] != own[1] and base[2] != later[2]
    if kind in OUTCOME:
        assert len(set(base)) == 1, "each step is worth what the chain is"
    else:
        assert base[:2] == pytest.approx(later[:2], abs=1e-5)
        assert base[0] == pytest.approx(own[0], abs=1e-5)
        # A beginning is worth on its own what it is worth within the chain.
        begun = sampled(*STEPS[:2], finish="step")
        assert asyncio.run(reward.score(begun)).value == pytest.approx(base[1], abs=1e-5)


@pytest.mark.parametrize("kind", SECTIONS)
def test_judgements_do_not_depend_on_what_is_judged_with_them(kind: str) -> None:
    chains = [sampled(*STEPS), sampled("Hm ok\n", "So the answer is 3"), sampled("So the answer is 4")]

    async def together(reward: Any) -> list[float]:
        return [score.value for score in await asyncio.gather(*map(reward.score, chains))]

    alone = [asyncio.run(made(kind, max_batch=1).score(chain)).value for chain in reversed(chains)][::-1]
    assert asyncio.run(together(made(kind, max_batch=2))) == pytest.approx(alone, abs=1e-4)
    assert asyncio.run(together(made(kind))) == pytest.approx(alone, abs=1e-4)
    assert len(set(alone)) > 1


@pytest.mark.parametrize("kind", SECTIONS)
def test_tokens_of_judging_are_in_the_rewards_own_ledger(kind: str) -> None:
    where = context()
    reward = build_reward(section(SECTIONS[kind]), where)
    asyncio.run(reward.score(sampled(*STEPS)))
    policy = where.policy.engine.ledger
    assert (policy.total == Usage()) or kind == "value_head"
    ledgers = {name: engine.ledger for name, engine in engines_of(reward).items()}
    assert set(ledgers) == (set() if kind == "confidence" else {reward.name})
    for ledger in ledgers.values():
        assert ledger.total != Usage() and set(ledger.by_phase()) == {"score"}
        assert {account.problem for account in ledger.entries} == {"p"}
        if kind == "asked":
            assert ledger.total.generated > 0 and ledger.total.scored > 0, "anchors, and comparisons"


# ---- reading ---------------------------------------------------------------------------------------------------------


def direct(tokens: list[int], position: int) -> float:
    """The head's output by one plain pass of the model."""
    with torch.no_grad():
        return float(
            torch.sigmoid(JUDGE.head_logits(JUDGE.hidden(torch.tensor([tokens]), use_cache=False)[0, position]))
        )


def test_marks_are_read_after_every_step_and_stay_out_of_the_chain() -> None:
    state = sampled(*STEPS)
    (mark,) = TEMPLATE.encode("#")
    assert mark not in state.token_ids
    parts = [list(action.completion.token_ids) for action in state.actions]
    tokens = list(state.prompt_ids)
    wanted = []
    for part in parts:
        tokens += [*part, mark]
        wanted.append(direct(tokens, -1))
    assert steps_of(made("marked"), state) == pytest.approx(wanted, abs=1e-5)
    root = sampled()
    bare = [*root.prompt_ids, mark]
    assert asyncio.run(made("marked").score(root)).value == pytest.approx(direct(bare, -1), abs=1e-5)
    assert steps_of(made("marked"), root) == ()


def test_an_outcome_model_is_read_at_the_last_token() -> None:
    state = sampled(*STEPS)
    assert steps_of(made("orm"), state) == pytest.approx([direct(list(state.token_ids), -1)] * 3, abs=1e-5)


def test_label_tokens_are_read_as_a_probability() -> None:
    state, reward = sampled(*STEPS), made("tokens")
    with torch.no_grad():
        model = tiny(seed=7, head=True, context=900)[0]
        logits = model.logits(model.hidden(torch.tensor([list(state.token_ids)]), use_cache=False))[0, -1]
    good, bad = (float(logits[TEMPLATE.encode(text)[0]]) for text in "+-")
    expected = math.exp(good) / (math.exp(good) + math.exp(bad))
    assert asyncio.run(reward.score(state)).value == pytest.approx(expected, abs=1e-4)


def test_another_tokenizer_gets_the_texts() -> None:
    """Prompt and steps are spelt anew; for an equal tokenizer that gives the same tokens, so the same scores."""
    other = PromptTemplate(build_char_tokenizer([]))
    assert not same_tokens(TEMPLATE.tokenizer, other.tokenizer)
    assert same_tokens(TEMPLATE.tokenizer, build_char_tokenizer(PHRASES))
    state, engine = sampled(*STEPS), engine_of(JUDGE, TEMPLATE)
    equal = PrmReward(engine, Chains(own=PromptTemplate(build_char_tokenizer(PHRASES))))
    assert steps_of(equal, state) == steps_of(PrmReward(engine), state)
    spelt = Chains(own=other).read(state)
    assert other.decode(spelt.token_ids) == problem().prompt + "\n" + "".join(STEPS)
    assert spelt.token_ids[-1] == other.eos_id, "the chain has ended"
    assert [other.decode(spelt.token_ids[: end + 1])[-1] for end in spelt.positions] == ["\n", "\n", "2"]
    unfinished = Chains(own=other).read(sampled(*STEPS[:2], finish="step"))
    assert unfinished.token_ids[-1] != other.eos_id


def test_a_chain_too_long_for_the_reward_model_fails_and_says_so() -> None:
    short = engine_of(tiny(seed=7, head=True, context=20)[0], TEMPLATE)
    with pytest.raises(RewardFailure, match="its context holds 20"):
        asyncio.run(PrmReward(short).score(sampled(*STEPS)))


def test_a_stage_that_trained_something_else_is_refused() -> None:
    with pytest.raises(DataError, match=r"trained a reward model of kind orm.*Write `kind: orm`"):
        build_reward(section({"kind": "prm", "model": "orm"}), context())
    assert isinstance(build_reward("orm", context()), OrmReward), "a name takes what the stage trained"
    broken = replace(context(), scorer=lambda name: Scorer(engine_of(JUDGE, TEMPLATE), TEMPLATE, Reading(mark="##")))
    with pytest.raises(DataError, match="must be exactly one"):
        build_reward("prm", broken)


# ---- pairs -----------------------------------------------------------------------------------------------------------


def test_a_head_compares_by_bradley_and_terry() -> None:
    reward = HeadPairs(engine_of(JUDGE, TEMPLATE))
    one, other = sampled(*STEPS), sampled("So the answer is 3")
    p, q = (direct(list(state.token_ids), -1) for state in (one, other))
    expected = p * (1 - q) / (p * (1 - q) + q * (1 - p))
    assert asyncio.run(reward.prefer(one, other)) == pytest.approx(expected, abs=1e-4)
    assert asyncio.run(reward.score(one)).value == pytest.approx(p, abs=1e-5)


def test_a_question_is_asked_in_both_orders() -> None:
    reward, one, other = made("asked"), sampled(*STEPS), sampled("So the answer is 3")
    model = tiny(seed=7, head=True, context=900)[0]
    yes, no = (TEMPLATE.encode(text)[0] for text in "YN")

    def better(first: State, second: State) -> float:
        prompt = TEMPLATE.encode(comparison_prompt(problem().prompt, first.text, second.text) + "\n")
        with torch.no_grad():
            logits = model.logits(model.hidden(torch.tensor([prompt]), use_cache=False))[0, -1]
        return float(torch.sigmoid(logits[yes] - logits[no]))

    expected = (better(one, other) + 1 - better(other, one)) / 2
    assert asyncio.run(reward.prefer(one, other)) == pytest.approx(expected, abs=1e-4)
    assert asyncio.run(reward.prefer(other, one)) == pytest.approx(1 - expected, abs=1e-4)


def test_anchors_are_the_same_for_every_chain_and_sampled_once() -> None:
    reward = made("asked")
    one, other = sampled(*STEPS), sampled("So the answer is 3")

    async def both() -> tuple[float, float]:
        return (await reward.score(one)).value, (await reward.score(other)).value

    found = asyncio.run(both())
    generated = reward.engine.ledger.total.generated
    anchors = asyncio.run(reward.anchors(one))
    assert len(anchors) == 2 and generated == sum(len(a.token_ids) - len(a.prompt_ids) for a in anchors)
    again = made("asked")
    assert asyncio.run(again.score(one)).value == pytest.approx(found[0], abs=1e-5)
    mean = sum(asyncio.run(again.prefer(one, anchor)) for anchor in anchors) / 2
    assert found[0] == pytest.approx(mean, abs=1e-4)
    again.refresh()
    assert not again._anchors, "another policy has other anchors"


def test_the_verifier_judges_ends_and_says_so() -> None:
    """So does a mixture that holds it."""
    judge = build_reward(section({"kind": "verifier"}), context())
    right = sampled(*STEPS)
    chains = (right, sampled("So the answer is 7"), sampled("Hm ok\n", finish="step"))
    found = [asyncio.run(judge.score(chain)) for chain in chains]
    assert [(score.value, score.oracle) for score in found] == [(1.0, True), (0.0, True), (0.5, True)]
    assert asyncio.run(judge.step_scores(right)) == (1.0, 1.0, 1.0), "a chain as a whole"
    mixed = build_reward(section({"kind": "mixture", "of": [{"kind": "confidence"}, {"kind": "verifier"}]}), context())
    plain = build_reward(section({"kind": "mixture", "of": [{"kind": "confidence"}]}), context())
    assert (judge.oracle, mixed.oracle, plain.oracle) == (True, True, False)
