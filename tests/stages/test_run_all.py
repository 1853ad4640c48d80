"""Many items at a time."""

import asyncio

from o1kit.stages.searching import run_all


def test_what_follows_the_engines_work_holds_nobody_up() -> None:
    begun: list[int] = []

    async def work(index: int, item: str) -> str:
        begun.append(index)
        await asyncio.sleep(0)
        return item * 2

    async def finish(made: str) -> str:
        async with asyncio.timeout(20):
            while len(begun) < 5:  # would never end if an unfinished item kept its place
                await asyncio.sleep(0.001)
        return made + "!"

    assert run_all(list("abcde"), work, label="work", concurrency=2, finish=finish) == [
        "aa!",
        "bb!",
        "cc!",
        "dd!",
        "ee!",
    ]
    assert begun == [0, 1, 2, 3, 4]


def test_no_more_at_a_time_than_asked_for() -> None:
    now, most = 0, 0

    async def work(index: int, item: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return item + index

    assert run_all([1, 1, 1, 1, 1, 1], work, label="work", concurrency=3) == [1, 2, 3, 4, 5, 6]
    assert most == 3
