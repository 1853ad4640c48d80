"""Label stages: every source, every option, exact labels on planted chains, and runs that go on where they stopped."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Literal

import pytest

from o1kit.decoding import Decoding
from o1kit.report.label_schema import LabelRecord
from o1kit.stages.labels.config import MonteCarloLabelsConfig, OmegaLabelsConfig
from o1kit.stages.labels.consensus import agreed
from o1kit.stages.labels.desk import Desk
from o1kit.stages.labels.monte_carlo import MonteCarlo
from o1kit.stages.labels.omega import Omega
from o1kit.types import Action, Completion, Problem, Score, State
from tests.tiny import problem

ROWS = [{"question": f"{i}+1=?", "answer": "0123456789ab"[i % 12]} for i in range(10)]
MONTE_CARLO = {"kind": "monte_carlo", "num_problems": 2, "chains": 2, "completions": 2}
OMEGA = {"kind": "omega", "num_problems": 2, "rollouts": 4, "completions": 2, "num_iterations": 2, "length": 20.0}


# ---- planted chains ----------------------------------------------------------------------------------------------


class Planted:
    """Chains of `size` steps. Without a mistake so far, every other sample makes one in step `error`; later none."""

    def __init__(self, size: int, error: int) -> None:
        self.size, self.error, self.asked = size, error, list[int]()

    def start(self, problem: Problem) -> State:
        return State(problem, (0,))

    async def complete(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), first: int = 0
    ) -> list[State]:
        self.asked.append(len(state.actions))
        return [self._chain(state, wrong=i % 2 == 0) for i in range(first, first + n)]

    def _chain(self, state: State, wrong: bool) -> State:
        for step in range(len(state.actions) + 1, self.size + 1):
            text = f"{'x' if wrong and step == self.error else 's'}{step}\n"
            finish: Any = "answer" if step == self.size else "step"
            state = state.after(Action(text, Completion((ord(text[0]),), (0.0,), finish)))
        return state

    async def score(self, state: State) -> Score:
        """The verifier: wrong with a mistake anywhere."""
        assert state.terminal
        return Score(float("x" not in state.text), "planted", oracle=True)


def labelled(planted: Any, section: OmegaLabelsConfig | MonteCarloLabelsConfig) -> list[LabelRecord]:
    desk = Desk(planted, planted, (), 5, "print")
    source: Any = Omega(section, desk) if isinstance(section, OmegaLabelsConfig) else MonteCarlo(section, desk)
    found: list[LabelRecord] = asyncio.run(source.label(0, problem()))
    return found


def once(records: list[LabelRecord]) -> list[LabelRecord]:
    """The first record of each chain, which has all that is known of its steps."""
    first: dict[tuple[str, ...], LabelRecord] = {}
    for record in records:
        first.setdefault(tuple(record.steps), record)
    return list(first.values())


@pytest.mark.parametrize("size", [1, 2, 7, 16, 33])
def test_binary_search_finds_the_planted_first_error(size: int) -> None:
    section = OmegaLabelsConfig(kind="omega", rollouts=4, completions=2)
    for error in range(1, size + 1):
        planted = Planted(size, error)
        right, wrong = sorted(once(labelled(planted, section)), key=lambda r: not r.correct)
        assert right.labels == [None] * (size - 1) + [1.0]
        known = {k: label for k, label in enumerate(wrong.labels, 1) if label is not None}
        assert min(k for k, label in known.items() if label == 0) == error, "the first wrong step, exactly"
        assert error == 1 or known[error - 1] == 0.5, "and the step before it can still end right"
        tried = planted.asked[1:]
        assert set(tried) == set(known) - {size}
        assert len(tried) <= math.ceil(math.log2(size)) if size > 1 else not tried


def test_what_a_right_chain_goes_through_is_good_without_a_token() -> None:
    planted = Planted(8, 6)
    hard: dict[str, Any] = {"rollouts": 2, "completions": 2, "estimate": "hard"}
    tried = labelled(planted, OmegaLabelsConfig(kind="omega", **hard))
    implied = labelled(planted, OmegaLabelsConfig(kind="omega", **hard, labels="implied"))
    assert sum(r.tokens for r in tried) == sum(r.tokens for r in implied)
    (wrong, right) = sorted(once(implied), key=lambda r: bool(r.correct))
    first = {tuple(r.steps[: k + 1]): label for r in implied for k, label in enumerate(r.labels) if label is not None}
    steps = [f"s{k}\n" for k in range(1, 9)]
    for k in range(1, 9):
        assert first[tuple(steps[:k])] == 1.0
    assert wrong.labels[5:] == [0.0, 0.0, 0.0], "and what follows a step that never ends right is not"
    known = [label for r in implied for label in r.labels[:-1] if label is not None]
    assert len(known) == len([steps for steps in first if len(steps) < 8]), "no prefix counts twice"
    assert right.labels[-1] == 1.0


class Hopeless(Planted):
    """Without a right chain of the problem itself; prefixes before the error can end right."""

    def _chain(self, state: State, wrong: bool) -> State:
        return super()._chain(state, wrong or not state.actions)


def test_a_problem_without_a_right_rollout_is_searched_if_asked() -> None:
    hard: dict[str, Any] = {"kind": "omega", "rollouts": 1, "completions": 2, "estimate": "hard", "labels": "implied"}
    left, searched = Hopeless(8, 6), Hopeless(8, 6)
    (end,) = labelled(left, OmegaLabelsConfig(**hard, keep="all"))
    assert end.labels == [None] * 7 + [0.0] and left.asked == [0]
    found = labelled(searched, OmegaLabelsConfig(**hard, keep="all", search="all", num_iterations=1))
    assert next(r.labels for r in found if not r.correct)[5:] == [0.0] * 3
    known = {tuple(r.steps[: k + 1]): label for r in found for k, label in enumerate(r.labels) if label is not None}
    assert [known[tuple(f"s{n}\n" for n in range(1, k))] for k in range(2, 7)] == [1.0] * 5
    assert len(searched.asked) == 1 + math.log2(8)


class Unlucky(Planted):
    """No completion of a prefix is right, though a right chain goes through it."""

    def _chain(self, state: State, wrong: bool) -> State:
        return super()._chain(state, wrong or bool(state.actions))


def test_what_follows_a_prefix_that_was_only_unlucky_is_not_known() -> None:
    hard: dict[str, Any] = {"kind": "omega", "rollouts": 2, "completions": 2, "estimate": "hard", "labels": "implied"}
    found = once(labelled(Unlucky(8, 6), OmegaLabelsConfig(**hard, num_iterations=1)))
    first = {tuple(r.steps[: k + 1]): label for r in found for k, label in enumerate(r.labels) if label is not None}
    assert all(first[tuple(f"s{n}\n" for n in range(1, k))] == 1.0 for k in range(2, 7))
    assert next(r.labels for r in found if not r.correct)[5:] == [None, None, 0.0]


@pytest.mark.parametrize("draw", ["together", "until_right"])
def test_a_prefix_is_worth_what_all_rollouts_through_it_are(draw: Literal["together", "until_right"]) -> None:
    soft: dict[str, Any] = {"kind": "omega", "rollouts": 4, "completions": 2, "draw": draw}
    tried, passing = Planted(8, 6), Planted(8, 6)
    before = labelled(tried, OmegaLabelsConfig(**soft | {"estimate": "hard"}))
    found = labelled(passing, OmegaLabelsConfig(**soft, labels="passing"))
    assert tried.asked == passing.asked and sum(r.tokens for r in before) == sum(r.tokens for r in found), "no tokens"
    assert [r.steps for r in before] == [r.steps for r in found] and before[-1].correct is not None
    label = {tuple(r.steps[: k + 1]): x for r in found for k, x in enumerate(r.labels[:-1]) if x is not None}
    assert len(label) == sum(x is not None for r in found for x in r.labels[:-1]), "no prefix counts twice"
    for prefix, value in label.items():
        through = [bool(r.correct) for r in found if tuple(r.steps[: len(prefix)]) == prefix and len(r.steps) > 7]
        assert value == sum(through) / len(through)
    assert len(label) == len({tuple(r.steps[:k]) for r in found for k in range(1, 8)}), "and each has a label"
    assert {0.0, 1.0} < set(label.values()), "shared ones lie between"


def test_shares_are_not_hard_labels() -> None:
    with pytest.raises(ValueError, match="estimate: soft"):
        OmegaLabelsConfig(kind="omega", labels="passing", estimate="hard")


def test_records_that_are_not_kept_are_not_searched_for() -> None:
    with pytest.raises(ValueError, match="keep: all"):
        OmegaLabelsConfig(kind="omega", search="all")


class Lengths(Planted):
    """The problem's first rollouts: a wrong chain of 9 steps, a wrong one of 3 and a right one; then right ones."""

    async def complete(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), first: int = 0
    ) -> list[State]:
        found = []
        for size, error in ((9, 9), (3, 3), (4, 0)) if not state.actions else ((9, 0),) * n:
            self.size, self.error = size, error
            found.append(self._chain(state, wrong=True))
        return found


@pytest.mark.parametrize(("beta", "steps"), [(0.5, 3), (1.0, 9)])
def test_short_rollouts_are_searched_first(beta: float, steps: int) -> None:
    section = OmegaLabelsConfig(kind="omega", rollouts=3, completions=1, num_iterations=1, beta=beta, length=3.0)
    found = labelled(Lengths(0, 0), section)
    searched = [len(r.steps) for r in found if any(x is not None for x in r.labels[:-1])]
    assert searched == [steps], "with beta 1 the first of equals, else the short one"


def test_monte_carlo_labels_are_shares_of_right_completions() -> None:
    section = MonteCarloLabelsConfig(kind="monte_carlo", chains=1, completions=4)
    chain, *ends = labelled(Planted(4, 3), section)
    assert chain.labels == [0.5, 0.5, 0.0, 0.0] and chain.correct is False
    assert [r.labels for r in ends[:2]] == [[None] * 3 + [0.0], [None] * 3 + [1.0]]
    assert len(ends) == 12 and sum(r.tokens for r in (chain, *ends)) == 4 + 4 * (3 + 2 + 1)
    hard = MonteCarloLabelsConfig(kind="monte_carlo", chains=1, completions=4, estimate="hard")
    assert labelled(Planted(4, 3), hard)[0].labels == [1.0, 1.0, 0.0, 0.0]


def test_only_ends_are_labelled_without_completions() -> None:
    section = MonteCarloLabelsConfig(kind="monte_carlo", chains=2, completions=0)
    planted = Planted(4, 3)
    assert [r.labels[-1] for r in labelled(planted, section)] == [0.0, 1.0]
    assert planted.asked == [0]


def test_problems_that_are_always_solved_leave_no_records() -> None:
    planted = Planted(4, 9)
    assert labelled(planted, OmegaLabelsConfig(kind="omega", rollouts=3)) == []
    records = labelled(planted, OmegaLabelsConfig(kind="omega", rollouts=3, keep="all"))
    assert [r.labels for r in records] == [[None, None, None, 1.0]] * 3 and [r.tokens for r in records] == [4] * 3


@pytest.mark.parametrize("change", [{"labels": "implied"}, {"draw": "until_right"}], ids=str)
def test_what_only_hard_labels_know_is_refused_without(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="estimate: hard"):
        OmegaLabelsConfig(kind="omega", **change)


class Late(Planted):
    """Of the completions of a prefix only the third is right, where any can be."""

    async def complete(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), first: int = 0
    ) -> list[State]:
        if not state.actions:
            return await super().complete(state, n, key=key, decoding=decoding, first=first)
        self.asked += [len(state.actions)] * n
        return [self._chain(state, wrong=i != 2) for i in range(first, first + n)]


@pytest.mark.parametrize("completions", [2, 3, 6])
def test_a_prefix_is_left_alone_once_a_completion_of_it_is_right(completions: int) -> None:
    hard: dict[str, Any] = {"kind": "omega", "rollouts": 2, "completions": completions, "estimate": "hard"}
    together, one_by_one = Late(8, 6), Late(8, 6)
    expected = labelled(together, OmegaLabelsConfig(**hard, num_iterations=1))
    found = labelled(one_by_one, OmegaLabelsConfig(**hard, num_iterations=1, draw="until_right"))
    assert [r.labels for r in once(found) if not r.correct] == [r.labels for r in once(expected) if not r.correct]
    tried = set(together.asked[1:])
    assert set(one_by_one.asked[1:]) == tried
    for prefix in tried:
        most = 3 if prefix < 6 and completions > 3 else completions
        assert (one_by_one.asked[1:].count(prefix), together.asked[1:].count(prefix)) == (most, completions)


# ---- consensus ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "threshold", "expected"),
    [
        ([0.9, 0.6, 0.1], [1.0, 0.5, 0.0], 0.5, [1.0, 1.0, 0.0]),
        ([0.9, 0.4, 0.1], [1.0, 0.5, 0.0], 0.5, [1.0, None, None]),
        ([0.9, 0.4, 0.1], [1.0, 0.5, 0.0], 0.4, [1.0, 1.0, 0.0]),
        ([None, 0.9, 0.2], [1.0, None, 0.0], 0.5, [None, None, 0.0]),
        ([0.0], [1.0], 0.5, [None]),
    ],
)
def test_consensus(first: Any, second: Any, threshold: float, expected: Any) -> None:
    assert agreed(first, second, threshold) == agreed(second, first, threshold) == expected
