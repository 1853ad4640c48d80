"""PPO with prioritized replay against on-policy PPO at equal wall time: `python -m benchmarks.ppo_replay`.

One recipe a seed: the quickstart's SFT and PRM (taken from the run folder of `benchmarks.quickstart_seeds` if that has
been run), then two PPO stages that differ in their replay alone and each stop after the same number of seconds, then
pass@1 of all three policies. Prints each seed and the mean, as they are.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from o1kit.recipe.source import parse
from o1kit.report.results import Results, read_results

ROOT = Path(__file__).parents[1]
POLICIES = ("sft", "prioritized", "on_policy")
EVALUATION = "evaluate_replay"


def recipe(seed: int, seconds: float, iterations: int) -> dict[str, Any]:
    """The quickstart with two PPO stages."""
    data: dict[str, Any] = parse((ROOT / "recipes" / "quickstart.yaml").read_text(), "quickstart.yaml").data
    sft, prm, ppo, evaluate = (copy.deepcopy(stage) for stage in data["stages"])
    ppo |= {"max_seconds": seconds, "iterations": iterations}
    on_policy = copy.deepcopy(ppo) | {"name": "on_policy", "replay": {"kind": "on_policy"}}
    prioritized = ppo | {"name": "prioritized"}
    evaluate |= {
        "name": EVALUATION,
        "policies": list(POLICIES),
        "searches": [{"kind": "sample", "num_samples": 8}],
        "ask": [],
    }
    stages = [sft, prm, prioritized, on_policy, evaluate]
    return data | {"name": f"quickstart-seed-{seed}", "seed": seed, "stages": stages}


def run(seed: int, options: argparse.Namespace) -> tuple[Results, dict[str, int]]:
    """Results, and the iterations that each PPO stage managed."""
    options.runs_dir.mkdir(parents=True, exist_ok=True)
    made = recipe(seed, options.seconds, options.iterations)
    path = ROOT / "recipes" / f"ppo-replay-seed-{seed}.yaml.tmp"  # beside the data that the recipe names
    path.write_text(json.dumps(made, indent=1))  # JSON is YAML
    try:
        command = [sys.executable, "-m", "o1kit", "run", str(path), "--runs-dir", str(options.runs_dir)]
        command += [f"--set={change}" for change in options.changes]
        subprocess.run(command, check=True)
    finally:
        path.unlink()
    folder = options.runs_dir / made["name"]
    done = {name: json.loads((folder / name / "done.json").read_text())["summary"] for name in POLICIES[1:]}
    return read_results(folder / EVALUATION / "results.json"), {name: int(s["iterations"]) for name, s in done.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Prioritized replay against on-policy PPO.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=100.0, help="wall time of each PPO stage")
    parser.add_argument("--iterations", type=int, default=30, help="length of the learning-rate schedule")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY.PATH=VALUE")
    options = parser.parse_args()
    found = [run(seed, options) for seed in options.seeds]
    splits = list(dict.fromkeys(row.split for row in found[0][0].rows))
    print(f"\npass@1 in %, PPO for {options.seconds:.0f} s each")
    print(f"{'split':<10}{'policy':<14}" + "".join(f"seed {s:<6}" for s in options.seeds) + "mean")
    for split in splits:
        for policy in POLICIES:
            rows = [results.find(policy, "pass@1", split) for results, _ in found]
            values = [100 * row.accuracy for row in rows if row is not None]
            print(f"{split:<10}{policy:<14}" + "".join(f"{v:<11.1f}" for v in values) + f"{fmean(values):.1f}")
    for policy in POLICIES[1:]:
        print(f"iterations {policy}: {', '.join(str(counts[policy]) for _, counts in found)}")


if __name__ == "__main__":
    main()
