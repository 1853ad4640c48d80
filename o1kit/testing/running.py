"""Running what is checked: within a time, and cancelled at some turn of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from o1kit.protocols import Sampling
from o1kit.testing.lab import LONGEST, PROBLEMS, Lab

T = TypeVar("T")
LIMIT_S = 120.0
"""Seconds after which work counts as hung."""
TURNS = (1, 3, 6, 10, 15, 40, 90, 200)
"""Turns of the event loop after which work is cancelled."""
GRACE, AFTER = 20, 3
"""Turns that what was cancelled has for its ending, and what it has started has after that."""
ENDING_S = 10.0
"""Seconds in which what is shared comes to its end."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine in an event loop of its own.

    Raises:
        TimeoutError: it does not end.
    """

    async def limited() -> T:
        async with asyncio.timeout(LIMIT_S):
            return await work

    return asyncio.run(limited())


def cancelled(make: Callable[[Lab], Coroutine[Any, Any, Any]], *, shares: bool = False) -> str | None:
    """Cancels work after more and more turns, until it is done by then; returns what is wrong, or None.

    Where it `shares` what it computes with others who may wait for it too, that may come to its end by itself.
    """
    for turns in TURNS:
        lab = Lab()
        found, done = run(_cancelled_after(make(lab), turns, shares))
        if found is None and not done:
            found = _unusable(lab)
        if found is not None:
            return f"cancelled after {turns} turns of the event loop, {found}"
        if done:
            return None
    return None


async def _cancelled_after(work: Coroutine[Any, Any, Any], turns: int, shares: bool) -> tuple[str | None, bool]:
    """What is wrong, and whether the work was done before it could be cancelled."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.done():
        task.result()
        return None, True
    task.cancel()
    for _ in range(GRACE):
        await asyncio.sleep(0)
        if task.done():
            break
    for _ in range(AFTER):
        await asyncio.sleep(0)
    if shares and (others := _others(task)):
        await asyncio.wait(others, timeout=ENDING_S)
    left = _others(task)
    if not task.done() or left:
        names = sorted(map(_name, left)) or ["its own task"]
        for t in (task, *left):
            t.cancel()
        await asyncio.wait((task, *left), timeout=1.0)
        return f"it still runs: {', '.join(names)}", False
    if task.cancelled():
        return None, False
    error = task.exception()
    if error is not None:
        return f"it raised {type(error).__name__}: {error} in place of CancelledError", False
    return "it returned a result as if nothing had happened", False


def _others(task: asyncio.Task[Any]) -> list[asyncio.Task[Any]]:
    """The tasks that run besides one and this, those of the kit's engine left out."""
    known = (task, asyncio.current_task())
    return [t for t in asyncio.all_tasks() if t not in known and not _name(t).startswith("TorchEngine.")]


def _name(task: asyncio.Task[Any]) -> str:
    return str(getattr(task.get_coro(), "__qualname__", "a task"))


def _unusable(lab: Lab) -> str | None:
    """What is wrong with the engines that cancelled work has used."""
    sampling = Sampling(3, max_tokens=LONGEST)
    for name, engine in lab.engines.items():
        fresh = Lab().engine(name)
        prompt = lab.policy().start(PROBLEMS[0]).prompt_ids
        one, other = (run(e.sample(prompt, 2, sampling)) for e in (engine, fresh))
        if [c.token_ids for c in one] != [c.token_ids for c in other]:
            return f"its engine ({name}) samples other tokens than before"
    return None
