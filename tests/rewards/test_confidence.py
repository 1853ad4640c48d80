"""Marco-o1's confidence as a reward: against the paper's formula on a real model's own distributions."""

from __future__ import annotations

import asyncio

import pytest
import torch

from o1kit.decoding import Decoding
from o1kit.protocols import Span
from o1kit.rewards.confidence import ConfidenceReward
from o1kit.types import Action, Completion, State
from tests.tiny import policy_of, problem, tiny

MODEL, TEMPLATE = tiny(context=160)


def chain() -> State:
    policy = policy_of(MODEL, TEMPLATE)
    start = policy.start(problem())
    (state,) = asyncio.run(policy.complete(start, 1, key=3, decoding=Decoding(alternatives=5)))
    return state


def test_it_is_the_share_of_the_five_likeliest_averaged_over_the_tokens() -> None:
    """Recomputed from a full forward pass: no alternatives of the engine's are used."""
    state = chain()
    with torch.no_grad():
        logits = MODEL.lm(torch.tensor([state.token_ids])).logits[0].log_softmax(-1)
    shares = []
    for at in range(len(state.prompt_ids), len(state.token_ids)):
        row, token = logits[at - 1].exp(), state.token_ids[at]
        top = row.topk(5)
        mass = float(top.values.sum()) + (0.0 if token in top.indices else float(row[token]))
        shares.append(float(row[token]) / mass)
    score = asyncio.run(ConfidenceReward().score(state))
    assert score.value == pytest.approx(sum(shares) / len(shares), abs=1e-4)
    steps = asyncio.run(ConfidenceReward().step_scores(state))
    first = len(state.actions[0].completion.token_ids)
    assert len(steps) == len(state.actions)
    assert steps[0] == pytest.approx(sum(shares[:first]) / first, abs=1e-4)
    assert steps[-1] == score.value


def test_given_tokens_do_not_count() -> None:
    policy = policy_of(MODEL, TEMPLATE)
    start = policy.start(problem())
    how = Decoding(alternatives=5)
    (action,) = asyncio.run(policy.propose(start, 1, key=1, decoding=how, span=Span(prefix="wait, ")))
    given = action.completion.given
    rest = Completion(
        action.completion.token_ids[given:],
        action.completion.logprobs[given:],
        action.completion.finish,
        alternatives=action.completion.alternatives[given:],
    )
    values = [
        asyncio.run(ConfidenceReward().score(State(start.problem, start.prompt_ids, (Action("", found),)))).value
        for found in (action.completion, rest)
    ]
    assert values[0] == values[1]


def test_nothing_is_known_before_the_first_token() -> None:
    state = policy_of(MODEL, TEMPLATE).start(problem())
    assert asyncio.run(ConfidenceReward().score(state)).value == 0.5
    assert asyncio.run(ConfidenceReward().step_scores(state)) == ()


def test_chains_without_alternatives_are_an_error() -> None:
    policy = policy_of(MODEL, TEMPLATE)
    (state,) = asyncio.run(policy.complete(policy.start(problem()), 1, key=3))
    with pytest.raises(ValueError, match="likeliest"):
        asyncio.run(ConfidenceReward().score(state))
