"""`python -m benchmarks.plan_accuracy --recipes R.yaml ... --runs-dir D`: planned against measured time and memory.

Each recipe is probed and planned (`o1kit plan --probe`) in a process of its own, then run in another, unless its run in
D is finished already; printed are planned, measured and their ratio for each stage and in all. Each has a new folder
as `XDG_CACHE_HOME`: no plan knows what earlier runs took, or what was probed before. Targets, with a probe, for a
recipe as a whole: 15 % for memory, 30 % for time; exit code 1 if one is missed. Leave the machine alone meanwhile: both
sides measure time. `--plan-only` prints the plans, `--no-probe` compares what a plain plan says; neither has targets.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.targets import Target, told

MIB = 2**20
MEMORY, TIME = 15.0, 30.0
"""Targets: how far a plan may be from what was measured, in %."""


def surroundings(cache: str) -> dict[str, str]:
    """The environment with a folder of its own for what o1kit keeps; models from the hub stay where they are."""
    usual = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return {"HF_HOME": str(Path(usual) / "huggingface"), **os.environ, "XDG_CACHE_HOME": cache}


def planned(recipe: Path, sets: list[str], probe: bool, cache: str) -> list[dict[str, Any]]:
    """The plan's stages, as if nothing had run: with an empty cache, and no runs."""
    nothing = Path(cache) / "no-runs"
    command = ["plan", str(recipe), "--json", "--runs-dir", str(nothing), *sets, *(["--probe"] if probe else [])]
    environment = surroundings(cache)
    done = subprocess.run([sys.executable, "-m", "o1kit", *command], capture_output=True, text=True, env=environment)
    if done.returncode not in (0, 6):
        raise SystemExit(done.stderr)
    return [row["takes"] for row in json.loads(done.stdout)["stages"]]


def compare(recipe: Path, runs: Path, sets: list[str], probe: bool, plan_only: bool) -> list[Target]:
    """Prints a recipe's plan beside what its run took; the targets that it has."""
    with tempfile.TemporaryDirectory(prefix="plan-accuracy-") as cache:
        stages = planned(recipe, sets, probe, cache)
        if not plan_only:
            command = [sys.executable, "-m", "o1kit", "run", str(recipe), "--runs-dir", str(runs), "--plain", *sets]
            subprocess.run(command, check=True, env=surroundings(cache))
    lines = [["stage", "planned s", "took s", "ratio", "planned MiB", "took MiB", "ratio", "basis"]]
    totals = [0.0, 0.0, 0.0, 0.0]
    name = next(iter(json.loads(p.read_text())["name"] for p in runs.glob("*/recipe.json") if _is(p, recipe)), None)
    for stage in stages:
        if stage["seconds"] is None or stage["peak"] is None:
            continue
        path = runs / (name or recipe.stem) / stage["stage"] / "done.json"
        done = json.loads(path.read_text()) if path.is_file() else {}
        took, peak = done.get("seconds", 0.0), done.get("peak_memory_mb", 0.0)
        mib = stage["peak"] / MIB
        totals = [totals[0] + stage["seconds"], totals[1] + took, max(totals[2], mib), max(totals[3], peak)]
        lines.append(row(stage["stage"], stage["seconds"], took, mib, peak, stage["basis"]))
    lines.append(row("in all", *totals, ""))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    print(recipe)
    for line in lines:
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    return targets(recipe.stem, totals) if probe and not plan_only else []


def targets(name: str, totals: list[float]) -> list[Target]:
    """How far seconds and MiB, planned and taken in turn, are apart; infinitely where nothing was measured."""
    seconds, took, mib, peak = totals
    parts = (("memory", mib, peak, MEMORY), ("time", seconds, took, TIME))
    return [
        Target(f"{name}, error of {what}:", 100 * abs(plan / real - 1) if real else float("inf"), bound, "%")
        for what, plan, real, bound in parts
    ]


def _is(path: Path, recipe: Path) -> bool:
    return bool(f"name: {path.parent.name}\n" in recipe.read_text())


def row(name: str, seconds: float, took: float, mib: float, peak: float, basis: str) -> list[str]:
    ratios = [f"{a / b:.2f}" if b else "-" for a, b in ((seconds, took), (mib, peak))]
    return [name, f"{seconds:.0f}", f"{took:.0f}", ratios[0], f"{mib:.0f}", f"{peak:.0f}", ratios[1], basis]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="+", type=Path, required=True)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--set", action="append", default=[], dest="sets")
    parser.add_argument("--no-probe", action="store_true")
    parser.add_argument("--plan-only", action="store_true")
    given = parser.parse_args()
    sets = [part for text in given.sets for part in ("--set", text)]
    found: list[Target] = []
    for recipe in given.recipes:
        found += compare(recipe, given.runs_dir, sets, not given.no_probe, given.plan_only)
    sys.exit(told(found))


if __name__ == "__main__":
    main()
