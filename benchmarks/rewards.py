"""Reward models against one another: `python -m benchmarks.rewards --seeds 0 1 2`.

Runs `o1kit run recipes/rewards.yaml` once a seed (finished runs are re-used), each with problems, chains and weights of
its own, and prints two tables. The first has what each reward model is worth on labelled chains kept out of training:
mean (least to most) over the seeds. The second has Best-of-16 with each of them, against a majority vote over the same
samples: all problems of all seeds together, with 95 % bootstrap intervals, and the paired differences to it and to the
vote weighted by the PRM. Then whether the targets are met; exit code 1 if one is missed.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.quickstart_seeds import ROOT, run, show, shown
from o1kit.functional.significance import paired
from o1kit.functional.statistics import bootstrap_interval
from o1kit.report.outputs import read_outputs

RECIPE = ROOT / "recipes" / "rewards.yaml"
MODELS = {
    "prm": "PRM, reads surprise",
    "plain": "PRM, does not",
    "orm": "ORM, reads surprise",
    "pairwise": "pairwise, reads surprise",
}
FIGURES = {
    "prm/auc": "AUC",
    "prm/within_auc": "AUC within a problem",
    "prm/ece": "calibration error",
    "prm/inner_auc": "AUC, steps before the end",
    "prm/inner_ece": "calibration error, those",
    "prm/ends_auc": "AUC, ends",
    "prm/processbench_f1": "ProcessBench F1",
}
AUCS, LEAST_AUC = ("prm/auc", "prm/inner_auc"), 0.85
ECES, MOST_ECE = ("prm/ece", "prm/inner_ece"), 0.05
"""Targets, of all labels and of steps before a chain's end."""
MAJORITY, VOTE = "majority@", "prm_vote@"
"""How the names of two searches begin."""
Marks = dict[tuple[str, str, str], list[float]]
"""By reward model, search and split: each problem's mark."""


def model_rows(folders: Sequence[Path]) -> list[list[str]]:
    """Heading and one row a reward model."""
    lines = [["reward model", *FIGURES.values()]]
    for model, title in MODELS.items():
        done = [json.loads((folder / model / "done.json").read_text())["summary"] for folder in folders]
        cells = [[summary[name] for summary in done if name in summary] for name in FIGURES]
        lines.append([title, *(shown(values, 1.0, 3) if values else "" for values in cells)])
    return lines


def marks_of(folders: Sequence[Path]) -> Marks:
    """Every problem's mark with every search, by what judged."""
    found: Marks = defaultdict(list)
    for folder in folders:
        for model in MODELS:
            for line in read_outputs(folder / f"by_{model}" / "outputs.jsonl").lines:
                found[model, line.search, line.split].append(sum(line.marks) / len(line.marks))
    return found


def of_search(marks: Marks, model: str, search: str, split: str) -> list[float]:
    """The marks of one search with one judge; searches are known by how their names begin."""
    return next(
        values for (m, name, of), values in marks.items() if (m, of) == (model, split) and name.startswith(search)
    )


def search_rows(marks: Marks, split: str) -> list[list[str]]:
    """Heading and one row for each use of 16 samples, paired with the majority and with the PRM's weighted vote."""
    rivals = [of_search(marks, "prm", name, split) for name in (MAJORITY, VOTE)]
    lines = [["judge", "search", "accuracy, %", "against the majority", "against the PRM's vote"]]
    lines.append(["none", "majority", _interval(rivals[0]), "", _paired(rivals[0], rivals[1])])
    for (model, search, of), values in marks.items():
        if of == split and not search.startswith((MAJORITY, "pass")):
            told = [_paired(values, rival) if rival is not values else "" for rival in rivals]
            lines.append([MODELS[model], search, _interval(values), *told])
    return lines


def _paired(values: Sequence[float], rival: Sequence[float]) -> str:
    found = paired(values, rival).difference
    return f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def claims(folders: Sequence[Path], marks: Marks) -> dict[str, bool]:
    """What must hold: every seed's AUC and calibration error, and the vote against the majority on harder problems."""
    done = [json.loads((folder / "prm" / "done.json").read_text())["summary"] for folder in folders]
    vote, majority = (bootstrap_interval(of_search(marks, "prm", name, "harder")) for name in (VOTE, MAJORITY))
    found = {f"{name} >= {LEAST_AUC}": all(row[name] >= LEAST_AUC for row in done) for name in AUCS if name in done[0]}
    found |= {f"{name} <= {MOST_ECE}": all(row[name] <= MOST_ECE for row in done) for name in ECES if name in done[0]}
    return found | {"weighted vote above the majority, intervals apart": vote[1] > majority[2]}


def _interval(values: Sequence[float]) -> str:
    mean, low, high = (100 * x for x in bootstrap_interval(values))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description="Reward models against one another.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY.PATH=VALUE")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    folders = [run(seed, options.runs_dir, options.changes, RECIPE) for seed in options.seeds]
    print(f"\nreward models on labelled chains kept out of training, seeds {', '.join(map(str, options.seeds))}")
    show(model_rows(folders), options.markdown)
    marks = marks_of(folders)
    for split in ("heldout", "harder"):
        number = len(next(values for (_, _, of), values in marks.items() if of == split))
        print(f"\n16 samples, {split}, {number} problems")
        show(search_rows(marks, split), options.markdown)
    held = claims(folders, marks)
    print()
    for claim, holds in held.items():
        print(f"{claim}: {'met' if holds else 'missed'}")
    raise SystemExit(not all(held.values()))


if __name__ == "__main__":
    main()
