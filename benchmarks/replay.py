"""Speed of the replay buffer: `python -m benchmarks.replay`.

Fills a buffer with 1e6 items, then samples 256 and writes their new priorities back, over and over. Target: 2,000 such
rounds a second. With `cpprb` installed, its prioritized buffer is measured beside it, in the same process.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from o1kit.replay.buffer import PrioritizedBuffer


class Item(NamedTuple):
    """The least a buffer holds."""

    policy_version: int


def rounds_per_second(one_round: Callable[[], None], seconds: float) -> float:
    one_round()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(100):
            one_round()
        count += 100
    return count / (time.perf_counter() - started)


def ours(size: int, batch: int) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    buffer: PrioritizedBuffer[Item] = PrioritizedBuffer(size, alpha=0.6, floor=1e-3)
    buffer.add([Item(0)] * size, rng.random(size).tolist())

    def one_round() -> None:
        drawn = buffer.sample(batch, rng, beta=0.4)
        buffer.update_priorities(drawn.slots, drawn.serials, rng.random(batch).tolist())

    return one_round


def peer(size: int, batch: int) -> Callable[[], None] | None:
    try:
        cpprb = importlib.import_module("cpprb")
    except ImportError:
        return None
    rng = np.random.default_rng(0)
    buffer = cpprb.PrioritizedReplayBuffer(size, {"x": {}}, alpha=0.6)
    buffer.add(x=np.zeros(size), priorities=rng.random(size))

    def one_round() -> None:
        drawn = buffer.sample(batch, beta=0.4)
        buffer.update_priorities(drawn["indexes"], rng.random(batch))

    return one_round


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the replay buffer.")
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    for name, make in (("o1kit", ours), ("cpprb", peer)):
        one_round = make(options.size, options.batch)
        if one_round is None:
            print(f"{name}: not installed")
            continue
        rate = rounds_per_second(one_round, options.seconds)
        print(f"{name}: {rate:,.0f} sample({options.batch}) + update a second, {options.size:,} items")


if __name__ == "__main__":
    main()
