"""What reward models learn from as many tokens: `python -m benchmarks.label_budgets --seeds 0 1 2 --runs-dir DIR`.

The quickstart's policy labels problems by plain Monte Carlo (soft and hard labels) and by OmegaPRM at growing sizes; a
process reward model is trained on each, all as long, and all are measured on problems that nothing was trained on.
Prints the tokens generated for the labels and these figures, each the mean over the seeds (least to most):

- `whole chains`: AUC of step labels, that of the end included, of chains whose every step is labelled. A step is good
  if at least half of 8 completions of it reach the right answer.
- `share`: the same for the steps before the end.
- `reach`: for these, a step is good if one of 8 completions does. That is what hard labels and OmegaPRM's search for
  the first error tell (arXiv 2312.08935, 2406.06592).
- `all labels`: AUC of whole chains and of the ends of all completions that were drawn to label them. Four labels in
  five are of such ends, as they are in what Monte Carlo is trained on.
- the calibration error (of the share) of steps before the end, and the AUC of ends within problems.

Then the tokens that OmegaPRM, and rollouts without its search, need for each AUC of Monte Carlo, whose better labels
count at each size, and for 0.85, in each sense, read off their own points by interpolation in the logarithm of tokens;
what a first point exceeds takes at most that point's tokens. Exit code 1 if no way of OmegaPRM's takes at most half of
the tokens for the best AUC of Monte Carlo on whole chains.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from benchmarks.quickstart_seeds import RECIPE, show, shown
from o1kit.recipe.compose import text_of
from o1kit.recipe.source import parse

FIGURES = ("auc_whole_chains", "auc_inner", "reach", "auc", "calibration_error_inner", "auc_within_problem")
SENSES = {"whole chains": "auc_whole_chains", "share": "auc_inner", "reach": "reach", "all labels": "auc"}
ASKED, TARGET = 0.85, 0.5
"""AUC that is asked of a reward model (`benchmarks.rewards`); share of Monte Carlo's tokens."""
TEST = {"kind": "monte_carlo", "num_problems": 300, "chains": 4, "completions": 8}
SOURCES: dict[str, dict[str, Any]] = {
    "monte_carlo": {"kind": "monte_carlo", "chains": 2, "completions": 4},
    "monte_carlo_hard": {"kind": "monte_carlo", "chains": 2, "completions": 4, "estimate": "hard"},
    "omega": {"kind": "omega", "rollouts": 8, "completions": 4, "num_iterations": 4, "length": 50.0},
    "omega_implied": {
        "kind": "omega",
        "rollouts": 2,
        "completions": 4,
        "draw": "until_right",
        "num_iterations": 2,
        "length": 50.0,
        "keep": "all",
        "search": "all",
        "estimate": "hard",
        "labels": "implied",
    },
    "omega_passing": {
        "kind": "omega",
        "rollouts": 4,
        "completions": 2,
        "draw": "until_right",
        "num_iterations": 2,
        "length": 50.0,
        "keep": "all",
        "search": "all",
        "labels": "passing",
    },
}
"""`omega` as it was published; `omega_implied` and `omega_passing` search every problem that has a wrong rollout, from
fewer rollouts, stop completing a prefix once one completion is right, and take every label that needs no tokens: what
can be told of a prefix from right chains and first errors, or the share of right rollouts through it. None draws more
than 4 completions of a prefix."""
SOURCES["rollouts"] = SOURCES["omega_passing"] | {"token_budget": 1}
"""Without a search: what the search itself is good for."""
INNER = {"omega_passing": 1.0, "rollouts": 1.0}
"""Weight of labels before the end of a chain where it is not 4, so that both kinds weigh about alike: Monte Carlo has
four ends for each of them, these sources have one."""


class Point(NamedTuple):
    """A reward model of each seed: what its labels cost, and what it is worth."""

    source: str
    problems: int
    all_tokens: list[float]
    figures: dict[str, list[float]]
    """Of each seed, by name."""

    @property
    def tokens(self) -> float:
        """Mean over the seeds."""
        return fmean(self.all_tokens)

    def auc(self, sense: str) -> float:
        """In one of `SENSES`, mean over the seeds."""
        return fmean(self.figures[SENSES[sense]])


def stages(sources: Sequence[str], sizes: Sequence[int], steps: int) -> list[dict[str, Any]]:
    """Labels, reward model and measurement of each source and size, after the quickstart's first stage."""
    found: list[dict[str, Any]] = [
        {"kind": "labels", "name": name, "policy": "sft", "split": "heldout", "source": TEST | {"estimate": estimate}}
        for name, estimate in (("test", "soft"), ("reach", "hard"))
    ]
    for source in sources:
        for size in sizes:
            name = f"{source}_{size}"
            labels = {"kind": "labels", "name": f"l_{name}", "policy": "sft"}
            prm: dict[str, Any] = {
                "kind": "prm",
                "name": f"p_{name}",
                "policy": "sft",
                "labels": {"kind": "stage", "stage": f"l_{name}"},
            }
            prm |= {"reading": {"by": "head", "surprise": True}}
            prm |= {"objective": {"kind": "prm", "inner": INNER.get(source, 4.0)}}
            prm |= {"calibrate": True, "steps": steps}
            measured: dict[str, Any] = {"kind": "evaluate", "policies": ["sft"], "judge": f"p_{name}"}
            measured |= {"splits": ["heldout"], "searches": [{"kind": "greedy"}]}
            found += [
                labels | {"source": SOURCES[source] | {"num_problems": size}},
                prm | {"optimizer": {"lr": 1e-3, "muon_lr": 0.005}},
                measured | {"name": f"e_{name}", "labels": {"kind": "stage", "stage": "test"}},
                measured | {"name": f"h_{name}", "labels": {"kind": "stage", "stage": "reach"}},
            ]
    return found


def recipe_of(path: Path, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """The recipe as plain data."""
    data: dict[str, Any] = parse(path.read_text(), str(path)).data
    for split in data["tasks"].values():
        for source in split["sources"]:
            if "path" in source:
                source["path"] = str((path.parent / source["path"]).resolve())
    first = [stage for stage in data["stages"] if stage["name"] == "sft"]
    return data | {
        "name": f"label-budgets-{seed}",
        "seed": seed,
        "stages": [*first, *stages(options.sources, options.sizes, options.steps)],
    }


def points(folders: Sequence[Path], sources: Sequence[str], sizes: Sequence[int]) -> list[Point]:
    """What finished runs, one a seed, have measured."""
    found = []
    for source in sources:
        for size in sizes:
            name = f"{source}_{size}"
            spent = [json.loads((f / f"l_{name}" / "done.json").read_text())["summary"] for f in folders]
            judged, reached = (
                [json.loads((f / f"{kind}_{name}" / "results.json").read_text())["reward"] for f in folders]
                for kind in "eh"
            )
            figures = {key: [row[key] for row in judged] for key in FIGURES if key != "reach"}
            figures["reach"] = [row["auc_inner"] for row in reached]
            found.append(Point(source, size, [row["tokens_generated"] for row in spent], figures))
    return found


def tokens_for(auc: float, known: Sequence[tuple[float, float]]) -> float | None:
    """Tokens at which (tokens, AUC) points reach an AUC, at the first or between two of them; None outside them."""
    ordered = sorted(known)
    if ordered[0][1] >= auc:
        return ordered[0][0]
    for (few, low), (many, high) in itertools.pairwise(ordered):
        if low <= auc <= high:
            share = (auc - low) / (high - low) if high > low else 0.0
            return math.exp(math.log(few) + share * math.log(many / few))
    return None


def compare(found: Sequence[Point], sense: str) -> float | None:
    """Prints what each way takes; returns OmegaPRM's least share of the tokens for Monte Carlo's best AUC."""
    plain: list[tuple[float, float]] = []
    for size in sorted({p.problems for p in found}):
        both = [p for p in found if p.problems == size and p.source.startswith("monte_carlo")]
        best = max(both, key=lambda p: p.auc(sense))
        plain.append((best.tokens, best.auc(sense)))
    top = max(plain, key=lambda p: p[1])
    shares = []
    for source in dict.fromkeys(p.source for p in found if not p.source.startswith("monte_carlo")):
        own = [(p.tokens, p.auc(sense)) for p in found if p.source == source]
        for tokens, auc in [(tokens_for(ASKED, plain), ASKED), *plain]:
            needed = tokens_for(auc, own)
            share = f"{100 * needed / tokens:.0f} % of" if needed and tokens else "more than was measured, against"
            print(f"{sense}, {source}: AUC {auc:.3f} takes {share} Monte Carlo's {tokens or 0:,.0f} tokens")
        needed = tokens_for(top[1], own)
        if needed and source.startswith("omega"):
            shares.append(needed / top[0])
    return min(shares, default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description="Reward models of as many tokens of labels.")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[30, 100, 300, 1000], help="problems labelled")
    parser.add_argument(
        "--sources", nargs="+", default=[*SOURCES], choices=[*SOURCES], help="with monte_carlo among them"
    )
    parser.add_argument("--steps", type=int, default=150, help="of a reward model; many overfit small files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    options.runs_dir.mkdir(parents=True, exist_ok=True)
    folders = []
    for seed in options.seeds:
        recipe = recipe_of(RECIPE, options, seed)
        path = options.runs_dir / f"{recipe['name']}.yaml"
        path.write_text(text_of(recipe))
        command = [sys.executable, "-m", "o1kit", "run", str(path), "--runs-dir", str(options.runs_dir), "--plain"]
        subprocess.run(command, check=True)
        folders.append(options.runs_dir / str(recipe["name"]))
    found = points(folders, options.sources, options.sizes)
    titles = ["AUC, whole chains", "before the end, share", "before the end, reach", "all labels"]
    titles += ["calibration error", "AUC within problems"]
    lines = [["source", "problems", "tokens", *titles]]
    for p in found:
        figures = [shown(p.figures[name], 1.0, 3) for name in FIGURES]
        lines.append([p.source, f"{p.problems}", f"{p.tokens:,.0f}", *figures])
    show(lines, options.markdown)
    least = {sense: compare(found, sense) for sense in SENSES}
    told = {sense: f"{100 * share:.0f} %" if share else "not reached" for sense, share in least.items()}
    met = (least["whole chains"] or math.inf) <= TARGET
    verdict = "met" if met else "missed"
    print(f"tokens for Monte Carlo's best AUC: {told} (target {100 * TARGET:.0f} %, whole chains): {verdict}")
    raise SystemExit(not met)


if __name__ == "__main__":
    main()
