"""How well a run's reward model tells right chains from wrong ones of one problem: `python -m benchmarks.judge RUN`.

Samples 16 chains a problem and scores them. Prints, for each task, the mean area under the ROC curve over the problems
that have both right and wrong chains (0.5: no better than chance), and the wrong chain that was liked best.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.equal_tokens import Bench
from o1kit.functional.keys import derive
from o1kit.functional.statistics import roc_auc
from o1kit.search.best_of_n.search import BestOfN
from o1kit.search.config import BestOfNConfig
from o1kit.stages.searching import run_all
from o1kit.types import SearchResult, Trajectory


def main() -> None:
    parser = argparse.ArgumentParser(description="A reward model within problems.")
    parser.add_argument("run", type=Path, help="folder of a finished run of recipes/quickstart.yaml")
    parser.add_argument("--recipe-dir", type=Path, default=Path("recipes"))
    parser.add_argument("--policy", default="sft")
    parser.add_argument("--split", default="harder")
    parser.add_argument("--problems", type=int, default=150)
    options = parser.parse_args()
    bench = Bench(options.run, options.recipe_dir, options.policy, options.split)
    problems = bench.problems[: options.problems]
    search = BestOfN(BestOfNConfig(kind="best_of_n", num_samples=16, select="best", aggregate="last"))

    async def work(index: int, problem: Any) -> SearchResult:
        start = bench.policy.start(problem)
        return await search.run(start, policy=bench.policy, reward=bench.judge, key=derive(0, index))

    results = run_all(problems, work, label=f"{options.policy} {options.split}")
    chains = [result.trajectories for result in results]
    marks = bench.marks(
        problems,
        [
            SearchResult(found, tuple(t.answer for t in found), r.usage)
            for found, r in zip(chains, results, strict=True)
        ],
    )
    areas: dict[str, list[float]] = defaultdict(list)
    liked: dict[str, Trajectory] = {}
    for problem, found, line in zip(problems, chains, marks, strict=True):
        right = [mark >= 1 for mark in line]
        wrong = [t for t, good in zip(found, right, strict=True) if not good]
        if any(right) and wrong:
            areas[problem.task].append(roc_auc([t.score for t in found], right))
            best = max([*wrong, *([liked[problem.task]] if problem.task in liked else [])], key=lambda t: t.score)
            liked[problem.task] = best
    for task, values in sorted(areas.items()):
        print(f"{task}: AUC within a problem {sum(values) / len(values):.2f} over {len(values)} problems")
        steps = zip(liked[task].state.actions, liked[task].step_scores, strict=True)
        for action, score in steps:
            print(f"    {score:.2f} {action.text!r}")


if __name__ == "__main__":
    main()
