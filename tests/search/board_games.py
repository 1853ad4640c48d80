"""Board games behind the doors of the searches: moves are actions, playouts are completions, results are rewards.

The rules are OpenSpiel's. A chain starts from a position, which is the problem's prompt: the moves so far.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from o1kit.decoding import Decoding
from o1kit.protocols import Span
from o1kit.search.config import MctsConfig
from o1kit.search.mcts.search import Mcts
from o1kit.types import Action, Completion, Problem, Score, SearchResult, State


class Board:
    """A game of OpenSpiel, as policy (random moves) and as reward (1 for a win of who moves first in the problem)."""

    def __init__(self, name: str) -> None:
        import pyspiel

        self.game = pyspiel.load_game(name)

    def position(self, state: State) -> Any:
        """The game's own state."""
        found = self.game.new_initial_state()
        for move in [*state.problem.prompt.split(), *(action.text for action in state.actions)]:
            found.apply_action(int(move))
        return found

    def mover(self, state: State) -> int:
        """Whose turn it is where the problem starts."""
        return len(state.problem.prompt.split()) % 2

    def opponent(self, state: State) -> bool:
        """True where the other player moves."""
        return len(state.actions) % 2 == 1

    # ---- policy --------------------------------------------------------------------------------------------------

    def start(self, problem: Problem) -> State:
        """The position of a problem."""
        return State(problem, (0,))

    async def propose(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), span: Span = Span()
    ) -> list[Action]:
        """Up to n different legal moves, in random order."""
        position = self.position(state)
        moves = position.legal_actions()
        random.Random(key).shuffle(moves)
        return [self._action(move, position.child(move).is_terminal()) for move in moves[:n]]

    async def complete(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), first: int = 0
    ) -> list[State]:
        """n random playouts."""
        found = []
        for i in range(first, first + n):
            luck, position, actions = random.Random(f"{key} {i}"), self.position(state), list(state.actions)
            while not position.is_terminal():
                move = luck.choice(position.legal_actions())
                position.apply_action(move)
                actions.append(self._action(move, position.is_terminal()))
            found.append(State(state.problem, state.prompt_ids, tuple(actions)))
        return found

    def answer(self, state: State) -> str:
        """The first move."""
        return state.actions[0].text

    def named(self, model: str) -> Board:
        """There is one kind of player."""
        return self

    @staticmethod
    def _action(move: int, last: bool) -> Action:
        return Action(str(move), Completion((move,), (0.0,), "answer" if last else "step"))

    # ---- reward --------------------------------------------------------------------------------------------------

    async def score(self, state: State) -> Score:
        """A half before the end."""
        if not state.terminal:
            return Score(0.5, "rules")
        return Score((self.position(state).returns()[self.mover(state)] + 1) / 2, "rules")

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """A half before the end."""
        return (*[0.5] * (len(state.actions) - 1), (await self.score(state)).value)


def plain_uct(num_simulations: int, c: float = 1.0, **changes: Any) -> MctsConfig:
    """UCT as in books: all moves are tried, each simulation ends with one random playout."""
    section: dict[str, Any] = {
        "kind": "mcts",
        "num_simulations": num_simulations,
        "num_children": 9,
        "leaves_per_batch": 1,
        "max_steps": 64,
        "selection": {"kind": "uct", "c": c},
        "unvisited": "infinity",
        "rollout": {},
        **changes,
    }
    return MctsConfig.model_validate(section)


def play(board: Board, config: MctsConfig, moves: Sequence[int], key: int) -> SearchResult:
    """One search from a position."""
    problem = Problem(" ".join(map(str, moves)), "board", " ".join(map(str, moves)))
    search = Mcts(config, board.opponent)
    return asyncio.run(search.run(board.start(problem), policy=board, reward=board, key=key))


def favourite(result: SearchResult) -> int:
    """The most visited first move."""
    first = [node for node in result.tree if node.parent == 0]
    return int(max(first, key=lambda node: (node.visits, node.value)).text)
