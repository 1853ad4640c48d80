"""OpenSpiel's games as our solver sees them, and a matrix game of our own."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import pyspiel

from o1kit.functional.cfr import CHANCE


@dataclass(eq=False)
class Node:
    """A state with all that follows, read from OpenSpiel once."""

    player: int | None
    seen: Hashable
    chances: list[float] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)


class SpielGame:
    """A game of OpenSpiel by name."""

    def __init__(self, name: str) -> None:
        game = pyspiel.load_game(name)
        self.players = game.num_players()
        self._root = self._node(game.new_initial_state())

    def _node(self, state: pyspiel.State) -> Node:
        if state.is_terminal():
            return Node(None, None, returns=list(state.returns()))
        if state.is_chance_node():
            outcomes = state.chance_outcomes()
            return Node(CHANCE, None, [p for _, p in outcomes], [self._node(state.child(a)) for a, _ in outcomes])
        player = state.current_player()
        children = [self._node(state.child(action)) for action in state.legal_actions()]
        return Node(player, state.information_state_string(player), children=children)

    def root(self) -> Node:
        return self._root

    def player(self, state: Node) -> int | None:
        return state.player

    def children(self, state: Node) -> Sequence[Node]:
        return state.children

    def chances(self, state: Node) -> Sequence[float]:
        return state.chances

    def seen(self, state: Node) -> Hashable:
        return state.seen

    def returns(self, state: Node) -> Sequence[float]:
        return state.returns


class MatrixGame:
    """Two players choose at once: the second does not see what the first did. The first gets `matrix[i][j]`."""

    players = 2

    def __init__(self, matrix: Sequence[Sequence[float]]) -> None:
        self.matrix = matrix

    def root(self) -> tuple[int, ...]:
        return ()

    def player(self, state: tuple[int, ...]) -> int | None:
        return len(state) if len(state) < 2 else None

    def children(self, state: tuple[int, ...]) -> Sequence[tuple[int, ...]]:
        count = len(self.matrix[0]) if state else len(self.matrix)
        return [(*state, action) for action in range(count)]

    def chances(self, state: tuple[int, ...]) -> Sequence[float]:
        return []

    def seen(self, state: tuple[int, ...]) -> Hashable:
        return len(state)

    def returns(self, state: tuple[int, ...]) -> Sequence[float]:
        value = self.matrix[state[0]][state[1]]
        return value, -value
