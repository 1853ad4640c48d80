"""`CalculatorReward`: whether the arithmetic that a chain states is right, by computing it anew."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from o1kit.functional.arithmetic import Form, false_claims
from o1kit.rewards.base import RewardBase
from o1kit.types import Score, State


class CalculatorReward(RewardBase):
    """factor^(false equations so far): 1 for a chain without any, or without arithmetic; costs no forward pass.

    It knows no answer and reads no problem: a chain may compute the wrong thing rightly. Steps that a program checks
    are what rStar-Math (arXiv 2501.04519) searches with. An equation counts in the step in which its line ends.
    """

    name = "calculator"

    def __init__(self, forms: Sequence[Form] = (), factor: float = 0.5) -> None:
        self.forms, self.factor = tuple(forms), factor

    async def score(self, state: State) -> Score:
        """The value after the last step."""
        return Score((await self.step_scores(state) or (1.0,))[-1], self.name)

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """The value after each step, in [0, 1]."""
        texts = tuple(accumulate(action.text for action in state.actions))
        whole = [text if state.terminal and i == len(texts) - 1 else _ended(text) for i, text in enumerate(texts)]
        return tuple(self.factor ** false_claims(text, self.forms) for text in whole)


def _ended(text: str) -> str:
    """The lines of a text that have ended: what is still written may not be what it looks like."""
    return text[: text.rfind("\n") + 1]
