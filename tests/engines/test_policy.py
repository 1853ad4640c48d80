"""A language model as a search sees it: spans, given text, hints, samples by number, other stages' models."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from o1kit.decoding import Decoding
from o1kit.engines.policy import LanguagePolicy
from o1kit.protocols import Sampling, Span
from o1kit.stages.evaluate.shared import SharedSamples
from o1kit.stages.ppo.experience import collate
from o1kit.stages.ppo.passes import chain_logprobs, drawn_all, unjudged
from o1kit.types import State, Trajectory
from tests.tiny import engine_of, policy_of, problem, tiny

MODEL, TEMPLATE = tiny(context=160)


def propose(n: int = 3, policy: Any = None, **changes: Any) -> Any:
    policy = policy or policy_of(MODEL, TEMPLATE)
    return asyncio.run(policy.propose(policy.start(problem()), n, key=4, **changes))


def texts(policy: Any) -> list[str]:
    return [action.text for action in propose(policy=policy)]


@pytest.mark.parametrize("size", [1, 5, 12])
def test_mini_steps_have_so_many_tokens_unless_the_chain_ends(size: int) -> None:
    for action in propose(6, span=Span(max_tokens=size)):
        completion = action.completion
        assert len(completion.token_ids) == size or completion.finish == "answer"
        assert completion.finish == ("answer" if completion.token_ids[-1] == TEMPLATE.eos_id else "step")


def test_mini_steps_are_the_tokens_of_a_plain_completion() -> None:
    policy = policy_of(MODEL, TEMPLATE)
    whole = asyncio.run(policy.complete(policy.start(problem()), 3, key=4))
    for state, action in zip(whole, propose(span=Span(max_tokens=7)), strict=True):
        tokens = state.token_ids[len(state.prompt_ids) :]
        assert action.completion.token_ids == tokens[:7]


def test_given_text_begins_the_action_and_is_marked() -> None:
    plain, begun = propose(), propose(span=Span(prefix="wait, "))
    size = len(TEMPLATE.encode("wait, "))
    for action in begun:
        assert action.text.startswith("wait, ")
        assert action.completion.given == size
        assert len(action.completion.logprobs) == len(action.completion.token_ids)
    assert [a.text for a in plain] != [a.text for a in begun]


def test_a_hint_is_read_and_not_kept() -> None:
    plain, hinted = propose(), propose(span=Span(hint="think hard\n"))
    assert [a.text for a in plain] != [a.text for a in hinted]
    assert all("think hard" not in a.text for a in hinted)
    same = propose(policy=Prompted("think hard\n"))
    assert [a.text for a in hinted] == [a.text for a in same], "it is as if the prompt had ended with it"


class Prompted:
    """A policy whose prompt has a text more."""

    def __init__(self, more: str) -> None:
        self.policy, self.more = policy_of(MODEL, TEMPLATE), more

    def start(self, item: Any) -> State:
        return State(item, (*self.policy.start(item).prompt_ids, *TEMPLATE.encode(self.more)))

    async def propose(self, state: State, n: int, **how: Any) -> Any:
        return await self.policy.propose(state, n, **how)


@pytest.mark.parametrize("wrap", [lambda policy: policy, SharedSamples])
def test_samples_have_numbers(wrap: Any) -> None:
    policy = wrap(policy_of(MODEL, TEMPLATE))
    start = policy.start(problem())

    async def several() -> Any:
        late = await policy.complete(start, 2, key=9, first=3)
        early = await policy.complete(start, 3, key=9)
        return early + late

    whole = asyncio.run(policy_of(MODEL, TEMPLATE).complete(start, 5, key=9))
    assert [s.text for s in asyncio.run(several())] == [s.text for s in whole]


def test_other_models_answer_to_their_names() -> None:
    other = policy_of(tiny(seed=3, context=160)[0], TEMPLATE)
    policy = LanguagePolicy(engine_of(MODEL, TEMPLATE), TEMPLATE, 24, {"critic": other}.__getitem__)
    assert texts(policy.named("critic")) == texts(other) != texts(policy)
    assert policy.named("") is policy
    shared = SharedSamples(policy)
    assert texts(shared.named("critic")) == texts(other)
    with pytest.raises(ValueError, match="no model 'critic'"):
        policy_of(MODEL, TEMPLATE).named("critic")


def test_nothing_is_learned_from_given_tokens_and_they_stay_in_the_chain() -> None:
    """The mask leaves them out; the log-probabilities of what was sampled are those of a pass over the whole chain."""
    policy = policy_of(MODEL, TEMPLATE)
    start = policy.start(problem())
    first = propose(1)[0]
    middle = asyncio.run(
        policy.propose(State(start.problem, start.prompt_ids, (first,)), 1, key=5, span=Span(prefix="wait, "))
    )[0]
    state = State(start.problem, start.prompt_ids, (first, middle))
    chain = unjudged(Trajectory(state, None))
    size, before = len(TEMPLATE.encode("wait, ")), len(first.completion.token_ids)
    assert chain.given == tuple(range(before, before + size))
    batch = collate(drawn_all([chain]))
    assert [i for i, counts in enumerate(batch.mask[0].tolist()) if not counts] == list(chain.given)
    assert batch.widths.tolist() == [len(chain.token_ids)]
    logprobs = chain_logprobs(MODEL, [chain])[0]
    for i, (ours, passes) in enumerate(zip(chain.old_logprobs, logprobs, strict=True)):
        assert i in chain.given or ours == pytest.approx(passes, abs=1e-4)


def test_alternatives_are_reported_with_given_tokens_left_empty() -> None:
    (action,) = propose(1, decoding=Decoding(alternatives=3), span=Span(prefix="so "))
    size = action.completion.given
    assert [len(found) for found in action.completion.alternatives[:size]] == [0] * size
    assert all(len(found) == 3 for found in action.completion.alternatives[size:])


def test_a_step_that_fills_the_context_is_the_last_one() -> None:
    """Its delimiter is the last token that fits: a search that went on from there would ask for the impossible."""
    model, template = tiny(context=40)
    policy = policy_of(model, template)
    root = policy.start(problem("1" * 38))
    room = 40 - len(root.token_ids)
    assert room == 1
    ends = Sampling(3, stop_ids=frozenset(range(len(template.tokenizer))))
    (completion,) = asyncio.run(policy.engine.sample(root.token_ids, 1, ends))
    assert completion.finish == ("answer" if completion.token_ids[-1] == template.eos_id else "context")
    (earlier,) = asyncio.run(policy.engine.sample(root.token_ids[:-1], 1, ends))
    assert earlier.finish == ("answer" if earlier.token_ids[-1] == template.eos_id else "step")
