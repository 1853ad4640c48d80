"""MCTS against Best-of-N at equal tokens: `python -m benchmarks.equal_tokens runs/quickstart`.

Evaluates a finished run's policy with MCTS at several budgets, then with Best-of-N where N is chosen so that it
generates as many tokens on the same problems (N = round(MCTS tokens / tokens of one sample), at least 1). Both use the
run's reward model. Prints accuracy, tokens and the paired difference with a 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from o1kit import registry
from o1kit.functional.noise import derive
from o1kit.functional.significance import paired
from o1kit.protocols import Artifact, StageInputs
from o1kit.recipe.schema import Recipe
from o1kit.rewards.config import JudgeConfig
from o1kit.search.config import BestOfNConfig, MctsConfig, SampleConfig
from o1kit.stages.evaluate.module import EvaluateModule, label
from o1kit.stages.evaluate.shared import SharedSamples, remembered
from o1kit.stages.searching import run_all
from o1kit.stages.start import suite_of
from o1kit.types import SearchResult

BUDGETS = ((1, 4), (2, 4), (4, 4), (8, 4))
"""(simulations, children) of MCTS."""


JUDGE: Any = TypeAdapter(JudgeConfig)


class Bench:
    """One policy on one split.

    Args:
        problems: at least so many of them, where the run had fewer.
        judge: what judges instead of the run's own judge, as recipes say it.
        tasks: only problems of these generators; empty: of all.
    """

    def __init__(
        self,
        run: Path,
        recipe_directory: Path,
        policy: str,
        split: str,
        problems: int = 0,
        judge: Any = None,
        tasks: Sequence[str] = (),
    ) -> None:
        said = json.loads((run / "recipe.json").read_text())
        wanted = said["tasks"][split]
        wanted["num_problems"] = max(problems, wanted["num_problems"])
        wanted["sources"] = [s for s in wanted["sources"] if not tasks or s.get("generator") in tasks]
        recipe = Recipe.model_validate(said)
        config = next(stage for stage in recipe.stages if stage.kind == "evaluate")
        artifacts = {
            path.parent.name: Artifact(path.parent.name, "", path.parent, "") for path in run.glob("*/done.json")
        }
        inputs = StageInputs(config, recipe, recipe_directory, run, artifacts, recipe.seed)
        self.module = EvaluateModule(inputs, suite_of(inputs))
        self.problems = self.module.suite.problems(split)
        searching = self.module.models.policy(policy)
        self.policy = SharedSamples(searching)
        section = config.judge if judge is None else JUDGE.validate_python(judge)
        reward = self.module.models.judge(section, searching, policy)
        self.judge = remembered(reward) if reward is not None else None

    def marks(self, problems: Sequence[Any], results: Sequence[SearchResult]) -> list[list[float]]:
        """The mark of each answer of each problem."""
        return [[score.value for score in scores] for scores in self.module.verdicts(problems, results)]

    def measure(self, config: Any) -> tuple[list[float], float]:
        """Each problem's mark and the tokens generated per problem."""
        search = registry.lookup("searches", config.kind)(config)

        async def work(index: int, problem: Any) -> SearchResult:
            key = derive(0, index)
            found: SearchResult = await search.run(
                self.policy.start(problem), policy=self.policy, reward=self.judge, key=key
            )
            return found

        results = run_all(self.problems, work, label=label(config))
        tokens = sum(result.usage.generated for result in results) / len(results)
        marks = self.marks(self.problems, results)
        return [sum(m) / len(m) for m in marks], tokens


def compare(bench: Bench, split: str) -> None:
    """Prints one block of rows."""
    _, one = bench.measure(SampleConfig(kind="sample", num_samples=8))
    one /= 8
    for simulations, children in BUDGETS:
        for expand in ("step", "chain"):
            mcts = MctsConfig(kind="mcts", num_simulations=simulations, num_children=children, expand=expand)
            marks, tokens = bench.measure(mcts)
            samples = max(1, round(tokens / one))
            votes = {}
            for select in ("majority", "weighted"):
                config = BestOfNConfig(kind="best_of_n", num_samples=samples, select=select)
                votes[select] = bench.measure(config)
            line = f"{split:<9}{label(mcts):<34}{100 * sum(marks) / len(marks):5.1f} % {tokens:6.0f} tokens"
            for select, (other, used) in votes.items():
                gap = paired(marks, other).difference
                line += f" | {select}@{samples} {100 * sum(other) / len(other):5.1f} % {used:6.0f} tokens,"
                line += f" mcts {100 * gap.mean:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
            print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="MCTS against Best-of-N at equal tokens.")
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--recipe-dir", type=Path, default=Path("recipes"))
    parser.add_argument("--policies", nargs="+", default=["sft", "ppo"])
    parser.add_argument("--splits", nargs="+", default=["heldout", "harder"])
    options = parser.parse_args()
    for policy in options.policies:
        print(f"policy {policy}")
        for split in options.splits:
            compare(Bench(options.run, options.recipe_dir, policy, split), split)


if __name__ == "__main__":
    main()
