"""What tree search itself costs: `python -m benchmarks.search_overhead RUN`.

Grows one tree of 10,000 nodes with a finished run's policy and reward model and notes every reply they give; then runs
the same search again over the noted replies. The second run's time is the search's own: choosing leaves, making nodes,
backing up, and the event loop. Prints both, and their ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.equal_tokens import Bench
from o1kit.search.config import MctsConfig
from o1kit.search.mcts.search import Mcts
from o1kit.types import SearchResult


class Noted:
    """A policy or a reward whose replies are kept and given again without computing anything."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.replies: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.inner, name)
        if name not in ("propose", "complete", "score", "step_scores"):
            return method  # type: ignore[no-any-return]

        async def reply(state: Any, *more: Any, key: int = 0, **how: Any) -> Any:
            # Identities name a state: both runs are given the same objects, and nothing is hashed at length.
            asked = (name, key, id(state.actions[-1]) if state.actions else 0, len(state.actions), more)
            if asked not in self.replies:
                how = how | ({"key": key} if name in ("propose", "complete") else {})
                self.replies[asked] = await method(state, *more, **how)
            return self.replies[asked]

        return reply


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of tree search itself.")
    parser.add_argument("run", type=Path, help="folder of a finished run of recipes/quickstart.yaml")
    parser.add_argument("--recipe-dir", type=Path, default=Path("recipes"))
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--simulations", type=int, default=2600)
    parser.add_argument("--temperature", type=float, default=2.0, help="high, for new steps in a large tree")
    options = parser.parse_args()
    bench = Bench(options.run, options.recipe_dir, "sft", "harder")
    policy, reward = Noted(bench.policy.policy), Noted(bench.judge.reward if bench.judge is not None else None)
    config = MctsConfig(
        kind="mcts", num_simulations=options.simulations, num_children=8, temperature=options.temperature
    )

    def grow(problem: Any) -> tuple[SearchResult, float]:
        found: list[SearchResult] = []

        async def search() -> None:  # returns nothing, as in `run_all`: asyncio.run writes out what it is given, twice
            found.append(await Mcts(config).run(policy.start(problem), policy=policy, reward=reward, key=1))  # type: ignore[arg-type]

        begun = time.perf_counter()
        asyncio.run(search())
        return found[0], time.perf_counter() - begun

    for problem in bench.problems:
        policy.replies.clear()
        reward.replies.clear()
        first, whole = grow(problem)
        if len(first.tree) >= options.nodes:
            break
    else:
        raise SystemExit(f"no problem has {options.nodes} nodes at this size. Raise --simulations.")
    again, own = grow(problem)
    same = [(n.parent, n.text, n.visits) for n in first.tree] == [(n.parent, n.text, n.visits) for n in again.tree]
    print(f"nodes {len(first.tree)}, simulations {options.simulations}, the same tree again: {same}")
    print(f"with the model {whole:.2f} s, the search alone {own:.2f} s: {100 * own / whole:.2f} % of the wall time")
    if not same or own / whole >= 0.05:
        raise SystemExit("the search's own share is not below 5 %")


if __name__ == "__main__":
    main()
