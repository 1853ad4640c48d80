"""Tree search where the best answer is known: noughts and crosses, Connect Four, and trees with a planted optimum."""

from __future__ import annotations

import asyncio
import functools
import random
from typing import Any

import pytest

from benchmarks.games import match
from o1kit.decoding import Decoding
from o1kit.protocols import Span
from o1kit.search.config import MctsConfig
from o1kit.search.mcts.search import Mcts
from o1kit.types import Action, Completion, Problem, Score, State
from tests.search.board_games import Board, favourite, plain_uct, play

pytest.importorskip("pyspiel")


# ---- noughts and crosses: solved by brute force --------------------------------------------------------------------


SOLVED: dict[Any, float] = {}
"""Values by position, in whatever order it came about."""


def solved(moves: tuple[int, ...]) -> float:
    """The value, for who moves first of all, of a position of noughts and crosses under perfect play."""
    who = (frozenset(moves[::2]), frozenset(moves[1::2]))
    if who not in SOLVED:
        SOLVED[who] = solve(moves)
    return SOLVED[who]


def solve(moves: tuple[int, ...]) -> float:
    position = Board("tic_tac_toe").position(State(Problem("", "", " ".join(map(str, moves))), (0,)))
    if position.is_terminal():
        return float(position.returns()[0])
    values = [solved((*moves, move)) for move in position.legal_actions()]
    return max(values) if len(moves) % 2 == 0 else min(values)


def best_moves(moves: tuple[int, ...]) -> set[int]:
    position = Board("tic_tac_toe").position(State(Problem("", "", " ".join(map(str, moves))), (0,)))
    side = 1 if len(moves) % 2 == 0 else -1
    values = {move: side * solved((*moves, move)) for move in position.legal_actions()}
    return {move for move, value in values.items() if value == max(values.values())}


POSITIONS = 12


@functools.cache
def positions(number: int) -> list[tuple[int, ...]]:
    """Positions in which some moves are mistakes; found when a test runs, since solving the game takes seconds."""
    luck, found = random.Random(1), []
    while len(found) < number:
        moves = tuple(luck.sample(range(9), luck.randrange(1, 6)))
        state = State(Problem("", "", " ".join(map(str, moves[:-1]))), (0,))
        legal = Board("tic_tac_toe").position(state)
        if legal.is_terminal() or moves[-1] not in legal.legal_actions():
            continue
        if legal.child(moves[-1]).is_terminal() or len(best_moves(moves)) == 9 - len(moves):
            continue
        found.append(moves)
    return found


@pytest.mark.parametrize("number", [0, 1, 2, *(pytest.param(i, marks=pytest.mark.slow) for i in range(3, POSITIONS))])
def test_it_finds_a_best_move_in_noughts_and_crosses(number: int) -> None:
    moves = positions(POSITIONS)[number]
    board = Board("tic_tac_toe")
    found = favourite(play(board, plain_uct(600), moves, key=3))
    assert found in best_moves(moves)


# ---- Connect Four --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moves", "best"),
    [
        ([3, 0, 3, 0, 3, 0], {3, 0}),  # who moves has three on top of each other: it wins at once
        ([3, 6, 3, 6, 3], {3}),  # the other has three: it must be stopped
        ([3, 0, 2, 0], {1, 4}),  # two in the bottom row, open on both sides: three open ones win
    ],
)
def test_tactics_in_connect_four(moves: list[int], best: set[int]) -> None:
    assert favourite(play(Board("connect_four"), plain_uct(800), moves, key=1)) in best


@pytest.mark.slow
def test_it_holds_its_own_against_openspiels_bot_in_connect_four() -> None:
    """200 games at equal simulations, sides in turns, against the bot as it comes (UCT c 2, it proves wins)."""
    assert match(Board("connect_four"), 200, 16, unvisited="value") / 200 >= 0.45


# ---- trees with a known optimum ------------------------------------------------------------------------------------


class PlantedTree:
    """A tree whose leaves are worth up to 0.8 at random, and one 1; estimates before the end are a half."""

    def __init__(self, width: int, depth: int, seed: int) -> None:
        self.width, self.depth, self.seed = width, depth, seed

    def leaf(self, path: str) -> float:
        return 1.0 if path == self.best() else 0.8 * random.Random(f"{self.seed} {path}").random()

    def best(self) -> str:
        luck = random.Random(self.seed)
        return "".join(str(luck.randrange(self.width)) for _ in range(self.depth))

    def start(self, problem: Problem) -> State:
        return State(problem, (0,))

    async def propose(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), span: Span = Span()
    ) -> list[Action]:
        last = len(state.actions) + 1 == self.depth
        return [
            Action(str(i), Completion((i,), (-1.0,), "answer" if last else "step")) for i in range(min(n, self.width))
        ]

    async def complete(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), first: int = 0
    ) -> list[State]:
        found = []
        for i in range(first, first + n):
            luck, actions = random.Random(f"{key} {i}"), list(state.actions)
            while len(actions) < self.depth:
                finish: Any = "answer" if len(actions) + 1 == self.depth else "step"
                actions.append(Action(str(luck.randrange(self.width)), Completion((0,), (-1.0,), finish)))
            found.append(State(state.problem, state.prompt_ids, tuple(actions)))
        return found

    def answer(self, state: State) -> str:
        return state.text

    def named(self, model: str) -> PlantedTree:
        return self

    async def score(self, state: State) -> Score:
        return Score(self.leaf(state.text) if state.terminal else 0.5, "planted")

    async def step_scores(self, state: State) -> tuple[float, ...]:
        return (*[0.5] * (len(state.actions) - 1), (await self.score(state)).value)


RULES: dict[str, dict[str, Any]] = {
    "puct": {"selection": {"kind": "puct", "c": 1.25}},
    "uct": {"selection": {"kind": "uct", "c": 0.7}, "unvisited": "infinity"},
    "ucb1": {"selection": {"kind": "ucb1", "c": 0.5}, "unvisited": "infinity"},
    "varentropy": {"selection": {"kind": "varentropy", "c": 0.5}},
    "rollouts": {"selection": {"kind": "uct", "c": 0.7}, "unvisited": "infinity", "rollout": {}},
    "child_mean": {"selection": {"kind": "uct", "c": 0.7}, "backup": {"kind": "child_mean"}},
    "discounted": {"selection": {"kind": "uct", "c": 0.7}, "backup": {"kind": "discounted", "gamma": 0.95}},
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", RULES)
def test_every_rule_converges_to_the_best_leaf(name: str, seed: int) -> None:
    """27 leaves: the most visited path ends in the best one, whichever rule or backup leads there."""
    tree = PlantedTree(3, 3, seed)
    section = {"kind": "mcts", "num_simulations": 800, "select": "path", "leaves_per_batch": 1, **RULES[name]}
    search = Mcts(MctsConfig.model_validate(section))
    problem = Problem("p", "tree", "")
    result = asyncio.run(search.run(tree.start(problem), policy=tree, reward=tree, key=seed))
    assert result.answers == (tree.best(),)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("considered", [16, 4])
def test_gumbel_finds_the_best_of_the_actions_it_considers(considered: int, seed: int) -> None:
    """One level of sixteen actions: all that are considered are simulated; values outweigh the noise of the draw.

    (Gumbel search promises a better policy than the prior, not the optimum of a deep tree.)
    """
    tree = PlantedTree(16, 1, seed)
    selection = {"kind": "gumbel", "max_considered": considered}
    section = {"kind": "mcts", "num_simulations": 17, "num_children": 16, "select": "path", "selection": selection}
    search = Mcts(MctsConfig.model_validate({**section, "leaves_per_batch": 1}))
    result = asyncio.run(search.run(tree.start(Problem("p", "tree", "")), policy=tree, reward=tree, key=seed))
    tried = [node for node in result.tree if node.parent == 0 and node.visits]
    assert len(tried) == considered
    values = sorted(tree.leaf(node.text) for node in tried)
    assert tree.leaf(result.answers[0] or "") >= values[-2]
    assert considered < 16 or result.answers == (tree.best(),)


def test_batched_leaves_find_it_too() -> None:
    tree = PlantedTree(3, 3, 5)
    search = Mcts(MctsConfig(kind="mcts", num_simulations=800, select="path", leaves_per_batch=8))
    result = asyncio.run(search.run(tree.start(Problem("p", "tree", "")), policy=tree, reward=tree, key=0))
    assert result.answers == (tree.best(),)
