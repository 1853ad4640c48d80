"""How probable a chain is to another model, against what that model says without an engine."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from o1kit.engines.policy import PromptTemplate
from o1kit.errors import EnvironmentFailure, RewardFailure
from o1kit.models.tokenizer import build_char_tokenizer
from o1kit.rewards.build import build_reward
from o1kit.rewards.chains import Chains
from o1kit.rewards.config import LikelihoodConfig
from o1kit.rewards.likelihood import LikelihoodReward
from o1kit.types import State
from tests.rewards.test_kinds import JUDGE, STEPS, TEMPLATE, context, made, sampled, steps_of
from tests.tiny import engine_of, problem, tiny


@torch.no_grad()
def probabilities(state: State) -> list[list[float]]:
    """Of the tokens of each step to the judge's model."""
    hidden = JUDGE.hidden(torch.tensor([list(state.token_ids)]), use_cache=False)[0]
    every = torch.softmax(JUDGE.logits(hidden), -1)
    found, at = [], len(state.prompt_ids)
    for action in state.actions:
        ids = action.completion.token_ids
        found.append([float(every[at - 1 + i, t]) for i, t in enumerate(ids)])
        at += len(ids)
    return found


@pytest.mark.parametrize("tokens", ["least", "geometric_mean", "product"])
def test_a_step_is_worth_what_its_chain_so_far_is_to_the_model(tokens: Any) -> None:
    reward = build_reward(LikelihoodConfig(kind="likelihood", model="sft", tokens=tokens), context())
    state = sampled(*STEPS)
    so_far: list[float] = []
    for value, step in zip(steps_of(reward, state), probabilities(state), strict=True):
        so_far += step
        product = math.prod(so_far)
        expected = {"least": min(so_far), "geometric_mean": product ** (1 / len(so_far)), "product": product}
        assert value == pytest.approx(expected[tokens], rel=1e-3)
    assert asyncio.run(reward.score(state)).value == pytest.approx(value)
    empty = State(problem(), tuple(TEMPLATE.prompt(problem())))
    assert steps_of(reward, empty) == () and asyncio.run(reward.score(empty)).value == 1.0


def test_it_asks_for_no_truth_and_pays_for_its_tokens() -> None:
    reward, state = made("likelihood"), sampled(*STEPS)
    assert not asyncio.run(reward.score(state)).oracle and reward.level == "step"
    assert reward.engine.ledger.total.scored == len(state.token_ids) and reward.engine.ledger.total.generated == 0


@torch.no_grad()
def test_another_tokenizer_reads_the_text() -> None:
    """One without phrases spells the same chain in other tokens, and ends it with its own end of text."""
    own = PromptTemplate(build_char_tokenizer([]))
    reward = LikelihoodReward(engine_of(JUDGE, own), Chains(own=own), "product")
    tokens = torch.tensor([[*own.prompt(problem()), *own.encode("".join(STEPS)), own.eos_id]])
    every = torch.log_softmax(JUDGE.logits(JUDGE.hidden(tokens, use_cache=False)[0]), -1)
    start = len(own.prompt(problem()))
    logprob = sum(float(every[i - 1, tokens[0, i]]) for i in range(start, tokens.shape[1]))
    found = steps_of(reward, sampled(*STEPS))
    assert len(found) == 3 and math.log(found[-1]) == pytest.approx(logprob, rel=1e-4)


def test_a_chain_too_long_for_the_model_fails_and_says_so() -> None:
    reward = LikelihoodReward(engine_of(*tiny(context=16)), Chains())
    with pytest.raises(RewardFailure, match="its context holds 16"):
        steps_of(reward, sampled(*STEPS))


def test_an_engine_that_cannot_tell_is_refused_when_the_judge_is_made() -> None:
    served: Any = lambda _: SimpleNamespace(engine=object(), template=TEMPLATE)  # noqa: E731
    with pytest.raises(EnvironmentFailure, match="Use `engine"):
        build_reward(LikelihoodConfig(kind="likelihood", model="sft"), replace(context(), asked=served))


def test_a_step_that_was_judged_is_not_read_again() -> None:
    reward, state = made("likelihood"), sampled(*STEPS)
    begun = State(state.problem, state.prompt_ids, state.actions[:2])
    first = steps_of(reward, begun)
    spent = reward.engine.ledger.total.scored
    assert steps_of(reward, begun) == first and reward.engine.ledger.total.scored == spent
    whole = steps_of(reward, state)
    assert whole[:2] == first and whole == pytest.approx(steps_of(made("likelihood"), state), rel=1e-4)
    new = len(state.token_ids) - len(begun.token_ids)
    assert reward.engine.ledger.total.scored - spent <= new + 1, "its last step only"
    reward.refresh()
    assert steps_of(reward, state) == pytest.approx(whole, rel=1e-4)
    assert reward.engine.ledger.total.scored > spent + new + 1
