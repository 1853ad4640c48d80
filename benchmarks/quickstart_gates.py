"""The metric gates of the quickstart: `python -m benchmarks.quickstart_gates runs/quickstart/results.json`.

Targets, and the allowance for the noise of one seed (500 and 300 problems: one standard error of an accuracy is up to
2.2 and 2.9 points; of a difference on the same problems somewhat less than 3):

    what                                                        target      gate
    problems: held-out, harder                                  500, 300    500, 300
    SFT pass@1 (sampled) on held-out                            35..75 %    33..77 %
    PPO gains over SFT, pass@1 on held-out                      15 points   13 points
    PPO pass@1 on held-out                                      90 %        88 %
    SFT on harder, 8 samples: weighted vote over majority       0 points    -1.5 points
    SFT on harder, 8 samples: majority over pass@1              0 points    -1.5 points
    SFT on harder, 8 samples: weighted vote over pass@1         8 points    6 points
    the strawberry question is answered 3                       yes         yes
    wall time (with --seconds)                                  480 s       900 s
    peak memory of any stage                                    4 GB        4 GB
    replay buffer's share of the PPO stage's wall time          1 %         1 %

The time allowance covers a shared machine, which may be half as fast as a quiet one; start-up is part of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from o1kit.errors import O1kitError
from o1kit.report.results import Results, read_results

NOISE = 0.02
VOTE_NOISE = 0.015

Gate = tuple[str, float | None, float, float]
"""What is measured, its value (None: not in the results), the least and the most it may be."""


def accuracy(results: Results, policy: str, search: str, split: str) -> float | None:
    """One cell of the table."""
    row = results.find(policy, search, split)
    return None if row is None else row.accuracy


def least(results: Results, split: str) -> float | None:
    """The smallest number of problems any row of a split was measured on."""
    return min((float(row.n) for row in results.rows if row.split == split), default=None)


def difference(first: float | None, second: float | None) -> float | None:
    """First minus second, if both are known."""
    return None if first is None or second is None else first - second


def gates(results: Results, names: argparse.Namespace) -> list[Gate]:
    """All gates with their measured values."""
    start = accuracy(results, names.sft, names.sample, "heldout")
    end = accuracy(results, names.ppo, names.sample, "heldout")
    single = accuracy(results, names.sft, names.sample, "harder")
    majority = accuracy(results, names.sft, names.majority, "harder")
    weighted = accuracy(results, names.sft, names.weighted, "harder")
    strawberry = [answer.answer for answer in results.answers if "strawberry" in answer.question.lower()]
    found: list[Gate] = [
        ("held-out problems", least(results, "heldout"), 500, float("inf")),
        ("harder problems", least(results, "harder"), 300, float("inf")),
        ("SFT pass@1, held-out", start, 0.35 - NOISE, 0.75 + NOISE),
        ("PPO - SFT pass@1, held-out", difference(end, start), 0.15 - NOISE, 1.0),
        ("PPO pass@1, held-out", end, 0.90 - NOISE, 1.0),
        ("weighted - majority, harder", difference(weighted, majority), -VOTE_NOISE, 1.0),
        ("majority - pass@1, harder", difference(majority, single), -VOTE_NOISE, 1.0),
        ("weighted - pass@1, harder", difference(weighted, single), 0.08 - NOISE, 1.0),
        ("strawberry answered 3", float(strawberry[-1] == "3") if strawberry else None, 1.0, 1.0),
    ]
    found.extend(stage_gates(names.results.parent, names.ppo))
    if names.seconds is not None:
        found.append(("wall time, s", names.seconds, 0.0, 900.0))
    return found


def stage_gates(run: Path, ppo: str) -> list[Gate]:
    """What the stages' `done.json` files say about memory and time."""
    done = {path.parent.name: json.loads(path.read_text()) for path in run.glob("*/done.json")}
    memory = [float(stage["peak_memory_mb"]) for stage in done.values() if stage.get("peak_memory_mb")]
    stage = done.get(ppo, {})
    spent = stage.get("summary", {}).get("replay_seconds")
    share = None if spent is None else spent / stage["seconds"]
    return [("peak memory, MB", max(memory, default=None), 0, 4096), ("replay share of PPO time", share, 0, 0.01)]


def passed(gate: Gate) -> bool:
    """True when the value is known and within its bounds."""
    _, value, low, high = gate
    return value is not None and low - 1e-9 <= value <= high + 1e-9


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line; the names say which stages and searches of the table are compared."""
    parser = argparse.ArgumentParser(description="Checks the quickstart's results against its targets.")
    parser.add_argument("results", type=Path)
    parser.add_argument("--seconds", type=float, help="wall time of the run")
    parser.add_argument("--sft", default="sft")
    parser.add_argument("--ppo", default="ppo")
    parser.add_argument("--sample", default="pass@1")
    parser.add_argument("--majority", default="majority@8")
    parser.add_argument("--weighted", default="prm_vote@8")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Prints every gate; 1 if one fails."""
    names = arguments(argv)
    try:
        results = read_results(names.results)
    except O1kitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    found = gates(results, names)
    for gate in found:
        what, value, low, high = gate
        shown = "missing" if value is None else f"{value:.3f}"
        print(f"{'pass' if passed(gate) else 'FAIL'}  {what:<30} {shown:>9}   [{low:g}, {high:g}]")
    return 0 if all(map(passed, found)) else 1


if __name__ == "__main__":
    sys.exit(main())
