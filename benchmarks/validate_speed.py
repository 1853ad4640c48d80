"""Time of `o1kit validate` as a whole process: `python -m benchmarks.validate_speed`. Target: at most 0.3 s.

Validates the largest shipped recipe (the one with the most lines) in 20 processes, in turn with `python -c pass` and
`python -c "import pydantic"`, and prints the medians of wall and of processor time, and which heavy modules were
imported. Byte code is kept in a folder of its own, as an installed package has it.
Exit code 1 if the median of the wall time is above the target.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.targets import Target, told

TARGET_S = 0.300
RECIPES = sorted((Path(__file__).parents[1] / "recipes").rglob("*.yaml"))
HEAVY = ("torch", "lightning", "transformers", "numpy", "datasets", "wandb")
LISTED = f"""
import sys
from o1kit.cli import main
main(sys.argv[1:])
print([name for name in {HEAVY!r} if name in sys.modules], len(sys.modules))
"""


def process(arguments: list[str], cache: str) -> subprocess.CompletedProcess[str]:
    """Runs Python with compiled modules in a folder."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True, env=environment)


def seconds(arguments: list[str], cache: str) -> tuple[float, float]:
    """Wall and processor time of a process."""
    before, started = os.times(), time.perf_counter()
    process(arguments, cache)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    largest = max(RECIPES, key=lambda path: len(path.read_text().splitlines()))
    trials = {
        "python -c pass": ["-c", "pass"],
        "import pydantic": ["-c", "import pydantic"],
        f"validate {largest.name}": ["-m", "o1kit", "validate", str(largest)],
    }
    with tempfile.TemporaryDirectory() as cache:
        for arguments in trials.values():
            seconds(arguments, cache)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in trials}
        for _ in range(runs):
            for name, arguments in trials.items():
                found[name].append(seconds(arguments, cache))
        listed = process(["-c", LISTED, "validate", str(largest)], cache).stdout.splitlines()[-1]
    print(f"median of {runs} processes{'wall':>16}{'processor':>14}{'fastest':>12}")
    for name, times in found.items():
        wall, used = median(t[0] for t in times), median(t[1] for t in times)
        print(f"{name:<26}{wall:>14.3f} s{used:>12.3f} s{min(t[0] for t in times):>10.3f} s")
    print("heavy modules and number of all:", listed)
    sys.exit(told([target([wall for wall, _ in found[f"validate {largest.name}"]])]))


def target(walls: list[float]) -> Target:
    """The target for the wall times of some processes."""
    return Target("median", median(walls), TARGET_S, "s")


if __name__ == "__main__":
    main()
