"""Time of the commands that must not load torch: `python -m benchmarks.startup`. Target: under 0.5 s each.

Runs `o1kit --help`, `validate` and `plan` as processes and prints the median and the slowest of several runs.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

RECIPE = Path(__file__).parents[1] / "recipes" / "quickstart.yaml"
RUNS = 7


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "o1kit", *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    for arguments in (["--help"], ["validate", str(RECIPE)], ["plan", str(RECIPE)]):
        seconds(arguments)
        found = [seconds(arguments) for _ in range(RUNS)]
        print(f"o1kit {arguments[0]:<9} median {median(found):.2f} s, slowest {max(found):.2f} s")


if __name__ == "__main__":
    main()
