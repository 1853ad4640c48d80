"""Accuracy against tokens for every search: `python -m benchmarks.search RUN --out FOLDER`.

Evaluates a finished run's policies with each search at budgets of 1, 2, 4, ... samples' worth of generated tokens, over
several seeds, and appends every problem's mark and tokens to `FOLDER/marks.jsonl`: a run that was stopped goes on where
it was. `python -m benchmarks.search_report FOLDER` makes the table, the JSON and the plot.

What only samples are needed for (votes, rm@N, adaptive N, consensus, the oracle) shares them. Tree searches get a token
budget of N x the mean tokens of a sample of this policy on this split; beams get as many chains as N pays for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from benchmarks.equal_tokens import Bench
from o1kit import registry
from o1kit.functional.keys import derive
from o1kit.rewards.judges import own_judge
from o1kit.search.config import SearchConfig
from o1kit.stages.searching import run_all
from o1kit.types import SearchResult

SECTION: Any = TypeAdapter(SearchConfig)
OVERSHOOT = 3
"""Samples by which a tree search may exceed its budget: what its last simulation has begun, it finishes."""
MANY = 4096
"""More simulations than any token budget here pays for."""


def sampled(n: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Searches over n independent samples, by name."""
    best_of_n = {"kind": "best_of_n", "num_samples": n}
    yield "majority", {**best_of_n, "select": "majority"}
    yield "rm", {**best_of_n, "select": "best"}
    yield "weighted vote", {**best_of_n, "select": "weighted"}
    if n > 1:
        for confidence in (0.8, 0.95):
            rule = {"kind": "posterior", "confidence": confidence}
            yield f"adaptive majority {confidence}", {**best_of_n, "select": "majority", "adaptive": rule}
            yield f"adaptive weighted vote {confidence}", {**best_of_n, "select": "weighted", "adaptive": rule}
        yield "certain majority", {**best_of_n, "select": "majority", "adaptive": {"kind": "certain"}}
    if n in (8, 32):
        yield "cfr consensus", {"kind": "cfr", "mode": {"kind": "consensus", "num_samples": n}}


def trees(n: int, tokens: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Searches that grow something, for what n samples of so many tokens each cost."""
    budget = {"token_budget": max(1, round(n * tokens))}
    yield "beam", {"kind": "beam", "num_beams": n // 4, "num_children": 4}
    yield "wide beam", {"kind": "beam", "num_beams": 1, "num_children": n}
    yield "dvts", {"kind": "beam", "num_subtrees": n // 4, "num_beams": 1, "num_children": 4}
    mcts = {"kind": "mcts", "num_simulations": MANY, "num_children": 4, "leaves_per_batch": 1, **budget}
    yield "mcts", {**mcts, "expand": "chain"}
    yield "mcts steps", {**mcts, "expand": "step"}
    yield "mcts visits", {**mcts, "expand": "chain", "select": "visits"}
    yield "cfr tree", {"kind": "cfr", "mode": {"kind": "tree", "num_iterations": MANY, "walks_per_batch": 1}, **budget}


def confident_trees(n: int, tokens: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same, led by the policy's own confidence: a search for its most probable chain."""
    scored = {"scored_by": "confidence", "aggregate": "last"}
    yield "beam confidence", {"kind": "beam", "num_beams": n // 4, "num_children": 4, **scored}
    mcts = {"kind": "mcts", "num_simulations": MANY, "num_children": 4, "leaves_per_batch": 1, "expand": "chain"}
    led = {"leaf_value": "confidence", "aggregate": "last", "select": "best", "token_budget": round(n * tokens)}
    yield "mcts confidence", {**mcts, **led}
    yield "mcts confidence T=0.6", {**mcts, **led, "temperature": 0.6}


def accepting(n: int, temperature: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Beams that take the first step that is good enough, and samples up to the first chain that is.

    n is the most ways on from a step, or the most samples: what they cost depends on the problem.
    """
    at = {"temperature": temperature}
    for share in (0.6, 0.75, 0.85, 0.9):
        beam = {"kind": "beam", "num_beams": 1, "num_children": n, "accept": share}
        yield f"accepting beam {share} T={temperature:g}", {**beam, **at}
    for score in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        samples = {"kind": "best_of_n", "num_samples": n, "select": "best"}
        yield (
            f"adaptive rm {score} T={temperature:g}",
            {**samples, "adaptive": {"kind": "threshold", "score": score}, **at},
        )


class Marks:
    """The lines of `marks.jsonl`, and what is in it already."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
        self.known = {_name(line): _mean(line["tokens"]) for line in lines}

    def has(self, **what: Any) -> bool:
        """True if it was measured before."""
        return _name(what) in self.known

    def add(self, line: dict[str, Any]) -> None:
        """Writes one measurement."""
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.known[_name(line)] = _mean(line["tokens"])


def _name(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line[key] for key in ("policy", "split", "seed", "search", "n"))


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


class Measurement:
    """One policy on one split with one seed."""

    def __init__(self, bench: Bench, marks: Marks, what: dict[str, Any], options: argparse.Namespace) -> None:
        self.bench, self.marks, self.what, self.options = bench, marks, what, options
        self.problems = bench.problems[: options.problems]

    def run(self) -> None:
        """All searches at all budgets."""
        most = max(self.options.budgets)
        self._one("pass", most, {"kind": "sample", "num_samples": most})
        self._one("greedy", 1, {"kind": "greedy"})
        for n in sorted(self.options.budgets, reverse=True):
            for name, section in sampled(n):
                self._one(name, n, section)
        tokens = self._mean_tokens("pass", most) / most
        for n in self.options.tree_budgets:
            for name, section in trees(n, tokens):
                self._one(name, n, section)
            for more in range(1, OVERSHOOT + 1):  # so that samples can be compared that cost as much
                for name, section in list(sampled(n + more))[:3]:
                    self._one(name, n + more, section)
        if self.options.confidence:
            self._confidence(tokens)
        for temperature in self.options.temperatures:
            self._cooler(tokens, temperature)
        for temperature in self.options.accept:
            for n in self.options.accept_most:
                for name, section in accepting(n, temperature):
                    self._one(name, n, section)

    def _confidence(self, tokens: float) -> None:
        """What the policy's own confidence finds, and votes at a lower temperature: neither needs a reward model."""
        ns = sorted({n + more for n in self.options.tree_budgets for more in range(OVERSHOOT + 1)}, reverse=True)
        for n in ns:
            scored = {"scored_by": "confidence", "aggregate": "last"}
            best_of_n = {"kind": "best_of_n", "num_samples": n, **scored}
            self._one("confidence best", n, {**best_of_n, "select": "best"})
            self._one("confidence vote", n, {**best_of_n, "select": "weighted"})
        for n in ns:
            cooler = {"kind": "best_of_n", "num_samples": n, "select": "majority", "temperature": 0.6}
            self._one("majority T=0.6", n, cooler)
        for n in self.options.tree_budgets:
            for name, section in confident_trees(n, tokens):
                self._one(name, n, section)

    def _cooler(self, tokens: float, temperature: float) -> None:
        """Votes, favourites and trees at another temperature: a search may need another one than its rival does."""
        at = {"temperature": temperature}
        few = self.options.budgets if self.options.accept else ()
        dear = {n + more for n in self.options.tree_budgets for more in range(OVERSHOOT + 1)}
        for n in sorted(dear.union(few), reverse=True):
            for name, section in list(sampled(n))[:3]:
                self._one(f"{name} T={temperature:g}", n, {**section, **at})
            scored = {"scored_by": "confidence", "aggregate": "last"}
            for name, select in (("confidence best", "best"), ("confidence vote", "weighted")):
                section = {"kind": "best_of_n", "num_samples": n, "select": select, **scored, **at}
                self._one(f"{name} T={temperature:g}", n, section)
        for n in self.options.tree_budgets:
            for name, section in (*trees(n, tokens), *confident_trees(n, tokens)):
                if section["kind"] != "cfr" and "T=" not in name:
                    self._one(f"{name} T={temperature:g}", n, {**section, **at})

    def _mean_tokens(self, name: str, n: int) -> float:
        return self.marks.known[_name({**self.what, "search": name, "n": n})]

    def _wanted(self, name: str) -> bool:
        always = name == "pass" or name.startswith(("accepting beam", "adaptive rm"))
        return always or not self.options.only or not {name, name.split(" T=")[0]}.isdisjoint(self.options.only)

    def _one(self, name: str, n: int, section: dict[str, Any]) -> None:
        if self.marks.has(**self.what, search=name, n=n) or not self._wanted(name):
            return
        config = SECTION.validate_python(section)
        search = registry.lookup("searches", config.kind)(config)
        judge = own_judge(config, self.bench.policy.policy.engine) or self.bench.judge

        async def work(index: int, problem: Any) -> SearchResult:
            key = derive(self.what["seed"], 1_000_003, index)
            start = self.bench.policy.start(problem)
            found: SearchResult = await search.run(start, policy=self.bench.policy, reward=judge, key=key)
            return found

        begun = time.perf_counter()
        label = f"{self.what['policy']} {self.what['split']} {self.what['seed']} {config.title}"
        results = run_all(self.problems, work, label=label)
        marks = self.bench.marks(self.problems, results)
        line = {
            **self.what,
            "search": name,
            "n": n,
            "title": config.title,
            "ids": [problem.id for problem in self.problems],
            "tasks": [problem.task for problem in self.problems],
            "marks": marks if name == "pass" else [m[0] for m in marks],
            "tokens": [result.usage.generated for result in results],
            "scored": [result.usage.scored for result in results],
            "seconds": round(time.perf_counter() - begun, 2),
        }
        self.marks.add(line)


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy against tokens for every search.")
    parser.add_argument("run", type=Path, help="folder of a finished run of recipes/quickstart.yaml")
    parser.add_argument("--out", type=Path, required=True, help="folder of marks.jsonl")
    parser.add_argument("--recipe-dir", type=Path, default=Path("recipes"))
    parser.add_argument("--policies", nargs="+", default=["sft", "ppo"])
    parser.add_argument("--splits", nargs="+", default=["harder", "heldout"])
    parser.add_argument("--problems", type=int, default=300, help="of each split, more than the run had if need be")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--budgets", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--confidence", action="store_true", help="also searches led by the policy's confidence")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[], help="samples and trees at these too")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="SEARCH",
        help="only these, by the table's names; without ` T=...` at all temperatures",
    )
    parser.add_argument(
        "--accept",
        type=float,
        nargs="+",
        default=[],
        metavar="T",
        help="also searches that stop at what is good enough",
    )
    parser.add_argument("--accept-most", type=int, nargs="+", default=[8, 32], help="steps or samples that these try")
    parser.add_argument("--judge", type=json.loads, help="judges instead of the run's own, as JSON of a recipe's judge")
    parser.add_argument("--tasks", nargs="+", default=[], metavar="GENERATOR", help="only problems of these")
    parser.add_argument("--tree-budgets", type=int, nargs="+", default=[4, 8, 16])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    recipe = (options.run / "recipe.json").read_bytes()
    (options.out / "recipe_hash.txt").write_text(hashlib.sha256(recipe).hexdigest() + "\n")
    marks = Marks(options.out / "marks.jsonl")
    for seed in options.seeds:
        for policy in options.policies:
            for split in options.splits:
                bench = Bench(
                    *(options.run, options.recipe_dir, policy, split, options.problems),
                    judge=options.judge,
                    tasks=options.tasks,
                )
                Measurement(bench, marks, {"policy": policy, "split": split, "seed": seed}, options).run()


if __name__ == "__main__":
    main()
