"""CFR against OpenSpiel's solvers, iteration by iteration, and against known values of games."""

from __future__ import annotations

import random
import statistics
from collections.abc import Hashable
from typing import Any

import pyspiel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_spiel.python.algorithms import cfr as spiel_cfr
from open_spiel.python.algorithms import discounted_cfr, expected_game_score
from open_spiel.python.algorithms.exploitability import exploitability
from open_spiel.python.policy import TabularPolicy

from o1kit.functional.cfr import Cfr, OutcomeSamplingCfr
from o1kit.functional.regret import Regrets, Rule, regret_matching
from tests.functional.games import MatrixGame, SpielGame

RULES: dict[Rule, Any] = {
    "cfr": spiel_cfr.CFRSolver,
    "cfr+": spiel_cfr.CFRPlusSolver,
    "linear": discounted_cfr.LCFRSolver,
    "discounted": discounted_cfr.DCFRSolver,
}
REGRETS = st.lists(st.floats(-10, 10), min_size=3, max_size=3)


def tabular(game: pyspiel.Game, strategy: dict[Hashable, list[float]]) -> TabularPolicy:
    policy = TabularPolicy(game)
    for key, row in policy.state_lookup.items():
        legal = policy.legal_actions_mask[row] > 0
        policy.action_probability_array[row][legal] = strategy[key]
    return policy


@pytest.mark.parametrize(
    ("name", "iterations"), [("kuhn_poker", 60), pytest.param("leduc_poker", 4, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("rule", RULES)
def test_every_iteration_is_as_exploitable_as_openspiels(rule: Rule, name: str, iterations: int) -> None:
    game = pyspiel.load_game(name)
    ours, theirs = Cfr(SpielGame(name), rule), RULES[rule](game)
    for _ in range(iterations):
        ours.run(1)
        theirs.evaluate_and_update_policy()
        mine = exploitability(game, tabular(game, ours.average()))
        assert mine == pytest.approx(exploitability(game, theirs.average_policy()), abs=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_kuhn_poker_is_worth_minus_one_eighteenth(rule: Rule) -> None:
    game, solver = pyspiel.load_game("kuhn_poker"), Cfr(SpielGame("kuhn_poker"), rule)
    solver.run(600)
    policy = tabular(game, solver.average())
    value = expected_game_score.policy_value(game.new_initial_state(), [policy, policy])
    assert value[0] == pytest.approx(-1 / 18, abs=2e-3)
    assert exploitability(game, policy) < 0.02


@pytest.mark.parametrize("rule", RULES)
def test_rock_paper_scissors_is_played_in_thirds(rule: Rule) -> None:
    """With unequal stakes, so that the start is no equilibrium: rock against scissors counts double."""
    solver = Cfr(MatrixGame([[0, -1, 2], [1, 0, -1], [-2, 1, 0]]), rule)
    solver.run(4000)
    for strategy in solver.average().values():
        assert strategy == pytest.approx([1 / 4, 1 / 2, 1 / 4], abs=0.02)
    plain = Cfr(MatrixGame([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]), rule)
    plain.tables[0][0] = Regrets(3, rule, regrets=[1.0, 0.0, 0.0])
    plain.run(4000)
    for strategy in plain.average().values():
        assert strategy == pytest.approx([1 / 3] * 3, abs=0.02)


@pytest.mark.parametrize("baseline", [None, lambda state, learner: 0.3])
def test_outcome_sampling_is_unbiased(baseline: Any) -> None:
    """Regrets of single walks from the uniform strategy have the mean of those of a walk through the whole game."""
    game, rng = SpielGame("kuhn_poker"), random.Random(0)
    exact = Cfr(game)
    exact._walk(game.root(), 0, 1.0, 1.0, exact._frozen())
    samples: dict[tuple[Hashable, int], list[float]] = {}
    walks = 20_000
    for _ in range(walks):
        one = OutcomeSamplingCfr(game, rng.random, baseline=baseline)
        one._episode(game.root(), 0, 1.0, 1.0, 1.0)
        for key, regrets in exact.tables[0].items():
            seen = one.tables[0].get(key)
            for action in range(regrets.size):
                samples.setdefault((key, action), []).append(seen.regrets[action] if seen else 0.0)
    for (key, action), numbers in samples.items():
        error = statistics.stdev(numbers) / walks**0.5
        assert abs(statistics.fmean(numbers) - exact.tables[0][key].regrets[action]) < 4.5 * error


def test_a_good_baseline_lowers_the_variance() -> None:
    game = SpielGame("kuhn_poker")

    def value(state: Any, learner: int) -> float:
        """The state's value when all play uniformly."""
        if state.player is None:
            return float(state.returns[learner])
        shares = state.chances or [1 / len(state.children)] * len(state.children)
        return sum(p * value(child, learner) for p, child in zip(shares, state.children, strict=True))

    spread = []
    for baseline in (None, value):
        rng, numbers = random.Random(1), []
        for _ in range(4000):
            one = OutcomeSamplingCfr(game, rng.random, baseline=baseline)
            one._episode(game.root(), 0, 1.0, 1.0, 1.0)
            numbers += [r for table in one.tables[0].values() for r in table.regrets]
        spread.append(statistics.pvariance(numbers))
    assert spread[1] < 0.7 * spread[0]


def test_outcome_sampling_approaches_an_equilibrium() -> None:
    game, rng = pyspiel.load_game("kuhn_poker"), random.Random(2)
    solver = OutcomeSamplingCfr(SpielGame("kuhn_poker"), rng.random)
    solver.run(1000)
    early = exploitability(game, tabular(game, solver.average()))
    solver.run(30_000)
    assert exploitability(game, tabular(game, solver.average())) < min(0.1, early)


def test_the_better_of_two_arms_is_found() -> None:
    """A game of one decision that nobody answers: all regret goes to the better action."""
    solver = Cfr(MatrixGame([[0.2], [0.7]]))
    solver.run(200)
    assert solver.average()[0][1] > 0.99


def test_regret_matching_vector() -> None:
    assert regret_matching([3, -1, 1]) == [0.75, 0, 0.25]
    assert regret_matching([-1, -2]) == [0.5, 0.5]


@given(st.lists(REGRETS, min_size=1, max_size=12))
def test_cfr_plus_never_keeps_a_negative_regret(rounds: list[list[float]]) -> None:
    table = Regrets(3, "cfr+")
    for t, regrets in enumerate(rounds, 1):
        table.add(regrets)
        table.close(t)
        assert min(table.regrets) >= 0
        assert sum(table.strategy()) == pytest.approx(1)
