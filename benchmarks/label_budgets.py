"""What reward models learn from as many tokens: `python -m benchmarks.label_budgets --seeds 0 1 2 --runs-dir DIR`.

The quickstart's policy labels problems by plain Monte Carlo and by OmegaPRM at growing sizes; a process reward model is
trained on each, all as long, and all are measured on the same labels of problems that nothing was trained on. Prints
the tokens generated for the labels, AUC and calibration error of steps before the end of a chain and the AUC of all
labels, each the mean over the seeds (least to most). Then the tokens that OmegaPRM needs for each AUC of Monte Carlo
(steps before the end) and for 0.85, read off its own points by interpolation in the logarithm of tokens; what its first
point exceeds takes at most that point's tokens. Exit code 1 if no way of OmegaPRM's takes at most half of the tokens
for the best AUC of Monte Carlo.
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

FIGURES = ("auc_inner", "calibration_error_inner", "auc", "auc_within_problem")
ASKED, TARGET = 0.85, 0.5
"""AUC that is asked of a reward model (`benchmarks.rewards`); share of Monte Carlo's tokens."""
TEST = {"kind": "monte_carlo", "num_problems": 300, "chains": 4, "completions": 8}
SOURCES: dict[str, dict[str, Any]] = {
    "monte_carlo": {"kind": "monte_carlo", "chains": 2, "completions": 4},
    "omega": {"kind": "omega", "rollouts": 8, "completions": 4, "num_iterations": 4, "length": 50.0},
    "omega_implied": {
        "kind": "omega",
        "rollouts": 4,
        "completions": 2,
        "num_iterations": 4,
        "length": 50.0,
        "keep": "all",
        "estimate": "hard",
        "labels": "implied",
    },
}
"""`omega` as it was published, `omega_implied` with fewer rollouts and every label that needs none of its own."""
OBJECTIVE = {"kind": "prm", "inner": 4.0}


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

    @property
    def auc(self) -> float:
        """Of steps before the end of a chain, mean over the seeds."""
        return fmean(self.figures["auc_inner"])


def stages(sources: Sequence[str], sizes: Sequence[int], steps: int) -> list[dict[str, Any]]:
    """Labels, reward model and measurement of each source and size, after the quickstart's first stage."""
    found: list[dict[str, Any]] = [
        {"kind": "labels", "name": "test", "policy": "sft", "split": "heldout", "source": TEST}
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
            prm |= {"reading": {"by": "head", "surprise": True}, "objective": OBJECTIVE}
            prm |= {"calibrate": True, "steps": steps}
            measured: dict[str, Any] = {
                "kind": "evaluate",
                "name": f"e_{name}",
                "policies": ["sft"],
                "judge": f"p_{name}",
            }
            measured |= {"splits": ["heldout"], "searches": [{"kind": "greedy"}]}
            found += [
                labels | {"source": SOURCES[source] | {"num_problems": size}},
                prm | {"optimizer": {"lr": 1e-3, "muon_lr": 0.005}},
                measured | {"labels": {"kind": "stage", "stage": "test"}},
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
            judged = [json.loads((f / f"e_{name}" / "results.json").read_text())["reward"] for f in folders]
            figures = {key: [row[key] for row in judged] for key in FIGURES}
            found.append(Point(source, size, [row["tokens_generated"] for row in spent], figures))
    return found


def tokens_for(auc: float, known: Sequence[Point]) -> float | None:
    """Tokens at which a source reaches an AUC, at its first point or between two of them; None outside them."""
    ordered = sorted(known, key=lambda p: p.tokens)
    if ordered[0].auc >= auc:
        return ordered[0].tokens
    for low, high in itertools.pairwise(ordered):
        if low.auc <= auc <= high.auc:
            share = (auc - low.auc) / (high.auc - low.auc) if high.auc > low.auc else 0.0
            return math.exp(math.log(low.tokens) + share * math.log(high.tokens / low.tokens))
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description="Reward models of as many tokens of labels.")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[30, 100, 300, 1000], help="problems labelled")
    parser.add_argument(
        "--sources", nargs="+", default=[*SOURCES], choices=[*SOURCES], help="with monte_carlo among them"
    )
    parser.add_argument("--steps", type=int, default=400)
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
    titles = ["AUC before the end", "calibration error, those", "AUC of all labels", "AUC within problems"]
    lines = [["source", "problems", "tokens", *titles]]
    for p in found:
        figures = [shown(p.figures[name], 1.0, 3) for name in FIGURES]
        lines.append([p.source, f"{p.problems}", f"{p.tokens:,.0f}", *figures])
    show(lines, options.markdown)
    plain = [point for point in found if point.source == "monte_carlo"]
    best = max(plain, key=lambda point: point.auc)
    shares = []
    for source in [name for name in options.sources if name != "monte_carlo"]:
        own = [p for p in found if p.source == source]
        for auc, tokens in [(ASKED, tokens_for(ASKED, plain)), *((p.auc, p.tokens) for p in plain)]:
            needed = tokens_for(auc, own)
            share = f"{100 * needed / tokens:.0f} % of" if needed and tokens else "more than was measured, against"
            print(f"{source}: AUC {auc:.3f} takes {share} Monte Carlo's {tokens or 0:,.0f} tokens")
            shares += [needed / best.tokens] if needed and auc == best.auc else []
    met = any(share <= TARGET for share in shares)
    print(f"target: {100 * TARGET:.0f} % at Monte Carlo's best AUC, {best.auc:.3f}: {'met' if met else 'missed'}")
    raise SystemExit(not met)


if __name__ == "__main__":
    main()
