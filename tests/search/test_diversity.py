"""Best-of-N that samples with several prompts, temperatures and models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from o1kit.decoding import Decoding
from o1kit.functional.keys import derive
from o1kit.types import Completion, State
from tests.search.test_best_of_n import MODEL, OTHER, PRM, PROMPTS, TEMPLATE, both, marked, run, tokens
from tests.tiny import engine_of, problem


class Recorder:
    """A real engine that notes what it is asked."""

    def __init__(self, model: Any) -> None:
        self.engine, self.asked = engine_of(model, TEMPLATE), []

    async def sample(self, prompt: Sequence[int], n: int, sampling: Any, account: Any) -> list[Completion]:
        self.asked.append((TEMPLATE.decode(prompt), n, sampling.decoding.temperature, account.problem))
        completions: list[Completion] = await self.engine.sample(prompt, n, sampling, account)
        return completions


def test_samples_take_turns_with_prompts_temperatures_and_models() -> None:
    mine, theirs = Recorder(MODEL), Recorder(OTHER)
    other = marked(engine=theirs)
    policy = marked(engine=mine, others={"other": other}.__getitem__)
    many = {"prompts": PROMPTS, "temperatures": [0.5, 1.5], "models": ["other"]}
    result = run(policy, num_samples=10, diversity=many)
    prompts = ["think: 1+1=?\n", "1+1=?\nshort!\n"]
    assert len(result.trajectories) == 10
    expected = [(p, t) for t in (0.5, 1.5) for p in prompts]
    for recorder, counts in ((mine, [2, 1, 1, 1]), (theirs, [2, 1, 1, 1])):
        asked = {(text, temperature): n for text, n, temperature, name in recorder.asked if name == "p"}
        assert asked == dict(zip(expected, counts, strict=True)), "10 = 8 + 2: the first two have one more"
    order = [TEMPLATE.decode(t.state.prompt_ids) for t in result.trajectories]
    assert order == [prompts[i // 2 % 2] for i in range(10)], "models change fastest, then prompts"
    assert all(t.state.problem == problem("1+1=?") for t in result.trajectories)


@pytest.mark.parametrize("rounds", [{"kind": "certain", "batch": b} for b in (1, 3, 5)])
def test_turns_do_not_depend_on_how_many_are_drawn_at_a_time(rounds: dict[str, Any]) -> None:
    many = {"prompts": PROMPTS, "temperatures": [0.5, 1.0, 1.5]}
    whole, early = run(num_samples=14, diversity=many), run(num_samples=14, diversity=many, adaptive=rounds)
    assert tokens(early) == tokens(whole)[: len(early.trajectories)]
    assert len(early.trajectories) >= 7


def test_each_combination_draws_the_samples_it_would_draw_alone() -> None:
    """The first one the plain search's own; every other one from a stream of its own."""
    policy = both()
    mixed = tokens(run(num_samples=6, diversity={"temperatures": [1.0, 0.5]}))
    assert mixed[::2] == tokens(run(num_samples=3))
    root = policy.start(problem("1+1=?"))
    alone = asyncio.run(policy.complete(root, 3, key=derive(1, 1), decoding=Decoding(0.5)))
    assert mixed[1::2] == [state.token_ids for state in alone]
    models = tokens(run(num_samples=4, diversity={"models": ["other"]}))
    theirs = marked(OTHER)
    alone = asyncio.run(theirs.complete(theirs.start(problem("1+1=?")), 2, key=derive(1, 1)))
    assert models[1::2] == [state.token_ids for state in alone]


def test_the_same_model_by_another_name_draws_other_samples() -> None:
    policy = marked(others={"same": marked()}.__getitem__)
    drawn = tokens(run(policy, num_samples=8, diversity={"models": ["same"]}))
    assert len(set(drawn)) > 6


def test_the_reward_model_reads_chains_after_the_problems_own_prompt() -> None:
    result = run(num_samples=4, select="weighted", diversity={"prompts": PROMPTS})
    root = both().start(problem("1+1=?"))
    for trajectory in result.trajectories:
        assert trajectory.state.prompt_ids != root.prompt_ids
        plain = State(root.problem, root.prompt_ids, trajectory.state.actions)
        assert trajectory.step_scores == pytest.approx(asyncio.run(PRM.step_scores(plain)), abs=1e-5)
