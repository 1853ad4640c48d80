"""Whether the arithmetic of chains is right, step by step."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from o1kit.rewards.build import build_reward
from o1kit.types import State
from tests.rewards.test_kinds import context, sampled, section, steps_of


def made(**options: Any) -> Any:
    return build_reward(section({"kind": "calculator", **options}), context())


def test_each_false_equation_costs_a_factor_and_is_never_forgiven() -> None:
    state = sampled("1+1=2 ok\n", "2+2=5 and 3+3=7\n", "fine\n", "4+4=8\n", "So 1+2=4")
    assert steps_of(made(), state) == (1.0, 0.25, 0.25, 0.25, 0.125)
    assert steps_of(made(factor=0.0), state) == (1.0, 0.0, 0.0, 0.0, 0.0)
    assert asyncio.run(made().score(state)).value == 0.125
    assert asyncio.run(made().score(State(state.problem, state.prompt_ids))).value == 1.0


def test_a_line_counts_once_it_has_ended() -> None:
    """`1+1=2` may still become `1+1=20`: what is being written says nothing yet. A chain's end ends its line."""
    state = sampled("1+1=2", "0\n", "so 3+3=7")
    assert steps_of(made(), state) == (1.0, 0.5, 0.25)
    *before, last = state.actions
    unended = State(
        state.problem, state.prompt_ids, (*before, replace(last, completion=replace(last.completion, finish="step")))
    )
    assert steps_of(made(), unended) == (1.0, 0.5, 0.5)


def test_lines_of_another_form() -> None:
    state = sampled("3 plus 4: 3+4 makes 8!\n", "1+1=3\n")
    assert steps_of(made(forms=["*: {left} makes {right}!"]), state) == (0.5, 0.5)


def test_it_asks_nothing_and_knows_nothing() -> None:
    reward, state = made(), sampled("1+1=2 ok\n")
    assert reward.engine is None and reward.level == "step" and not asyncio.run(reward.score(state)).oracle


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forms": ["{left} is"]}, "a form holds {left} and {right} once each"),
        ({"forms": ["*{left}*{right}*"]}, "at most twice"),
        ({"factor": 1.0}, "less than 1"),
    ],
)
def test_sections_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        section({"kind": "calculator", **options})
