"""What callers of the engine wait for."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from o1kit.engines.torch.rows import Draft
from o1kit.protocols import Sampling
from o1kit.types import Account, Completion


@dataclass(eq=False, slots=True)
class SampleRequest:
    """`n` samples of one prompt. `todo` holds the index of each sample that is not in flight and what it has so far."""

    prompt: tuple[int, ...]
    n: int
    sampling: Sampling
    account: Account
    limit: int
    """Most tokens of a sample, prompt included."""
    future: asyncio.Future[list[Completion]]
    todo: deque[tuple[int, Draft]]
    done: dict[int, Completion] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Nobody waits any more: cancelled or failed."""
        return self.future.done()


@dataclass(eq=False, slots=True)
class ScoreRequest:
    """Readings along one sequence: of the scalar head, or how probable the tokens after some positions are."""

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    account: Account
    future: asyncio.Future[list[float]]
    following: tuple[int, ...] = ()
    """The token after each position; empty where the head is read."""
