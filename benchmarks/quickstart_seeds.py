"""Mean and spread of the whole quickstart over seeds: `python -m benchmarks.quickstart_seeds --seeds 0 1 2`.

Runs `o1kit run recipes/quickstart.yaml` once a seed, each in its own process and run folder (finished ones are
re-used), and prints one table: mean and range over the seeds. `--markdown` prints it as the README has it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from o1kit.report.results import Results, read_results

STAGES = ("sft", "prm", "ppo", "evaluate")
ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "quickstart.yaml"


def run(seed: int, runs: Path, changes: Sequence[str], recipe: Path = RECIPE) -> Path:
    """The folder of a recipe's run with a seed, which is made if it is not there."""
    name = f"{recipe.stem}-seed-{seed}"
    sets = [f"--set={text}" for text in (f"seed={seed}", f"name={name}", *changes)]
    command = [sys.executable, "-m", "o1kit", "run", str(recipe), "--runs-dir", str(runs), *sets]
    subprocess.run(command, check=True)
    return runs / name


def seconds(folder: Path) -> float:
    """Wall time of all stages of a run."""
    return sum(json.loads((folder / stage / "done.json").read_text())["seconds"] for stage in STAGES)


def shown(values: Sequence[float], scale: float = 100.0, digits: int = 1) -> str:
    """`mean (least to most)`."""
    scaled = [scale * value for value in values]
    return f"{fmean(scaled):.{digits}f} ({min(scaled):.{digits}f} to {max(scaled):.{digits}f})"


def table(found: Sequence[Results]) -> list[list[str]]:
    """Heading and rows: policy, search, accuracy and tokens by split."""
    splits = list(dict.fromkeys(row.split for row in found[0].rows))
    lines = [["policy", "search", *(f"{s}, %" for s in splits), *(f"tokens, {s}" for s in splits)]]
    for policy, search in dict.fromkeys((row.policy, row.search) for row in found[0].rows):
        cells = {s: [results.find(policy, search, s) for results in found] for s in splits}
        accuracy = [shown([row.accuracy for row in cells[s] if row is not None]) for s in splits]
        tokens = [f"{fmean(row.tokens_per_problem for row in cells[s] if row is not None):.0f}" for s in splits]
        lines.append([policy, search, *accuracy, *tokens])
    return lines


def show(lines: Sequence[Sequence[str]], markdown: bool) -> None:
    """Prints a table."""
    if markdown:
        body = [list(lines[0]), ["---"] * len(lines[0]), *lines[1:]]
        print("\n".join("| " + " | ".join(line) + " |" for line in body))
        return
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    print("\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines))


def main() -> None:
    parser = argparse.ArgumentParser(description="The quickstart over several seeds.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY.PATH=VALUE")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    folders = [run(seed, options.runs_dir, options.changes) for seed in options.seeds]
    found = [read_results(folder / "evaluate" / "results.json") for folder in folders]
    print(f"\nquickstart, seeds {', '.join(map(str, options.seeds))}: mean (least to most)")
    show(table(found), options.markdown)
    right = sum(any(a.answer == "3" for a in results.answers) for results in found)
    print(f"\nstrawberry answered 3: {right} of {len(found)}")
    print(f"wall time of all stages, s: {shown([seconds(f) for f in folders], 1.0, 0)}")


if __name__ == "__main__":
    main()
