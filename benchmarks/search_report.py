"""Table, JSON and plot of `benchmarks.search`: `python -m benchmarks.search_report FOLDER`.

Writes `FOLDER/search.json`, `search.md` and `search.svg`. An accuracy is the mean over seeds and problems; intervals
are 95 % bootstraps over problems (a problem's seeds stay together). Differences are paired by problem and seed.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.plotting import figure, save
from o1kit.functional.statistics import pass_at_k

TREES = (
    *("beam", "wide beam", "dvts", "mcts", "mcts steps", "mcts visits", "cfr tree"),
    *("beam confidence", "mcts confidence"),
)
SAMPLES = ("majority", "rm", "weighted vote", "confidence best", "confidence vote")
NUM_RESAMPLES = 2000
DEARER = 1.25
"""A tree's rivals may cost so many times its tokens."""


def kind(search: str) -> str:
    """A search's name without its temperature."""
    return search.split(" T=")[0]


def is_tree(search: str) -> bool:
    """True for a search that grows something."""
    return kind(search) in TREES or search.startswith("accepting beam")


def is_samples(search: str) -> bool:
    """True for a use of independent samples, and for the greedy chain."""
    return kind(search) in (*SAMPLES, "greedy") or search.startswith(("adaptive", "certain"))


def family(search: str) -> str:
    """Searches that differ only in how much is good enough are one: it is chosen like a number of samples."""
    return re.sub(r"^adaptive rm [\d.]+", "adaptive rm", search)


class Cell(NamedTuple):
    """Marks and tokens of one search at one budget: arrays [seeds, problems]."""

    marks: Any
    tokens: Any
    scored: Any
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]


Key = tuple[str, str, str, int]
"""Policy, split, search, n."""


def read(folder: Path) -> dict[Key, Cell]:
    """All measurements of `marks*.jsonl`, seeds stacked; the samples also as `pass@1` and the oracle's `pass@n`."""
    found: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for line in (json.loads(line) for path in sorted(folder.glob("marks*.jsonl")) for line in path.open()):
        if line["search"] != "pass":
            found[line["policy"], line["split"], line["search"], line["n"]].append(line)
            continue
        most = line["n"]
        for k in (2**i for i in range(most.bit_length()) if 2**i <= most):
            name = "pass@1" if k == 1 else "oracle pass@n"
            marks = [pass_at_k(most, round(sum(m)), k) for m in line["marks"]]
            part = {
                **line,
                "marks": marks,
                "tokens": [t * k / most for t in line["tokens"]],
                "scored": [0.0] * len(marks),
            }
            found[line["policy"], line["split"], name, k].append(part)
    return {key: _cell(lines) for key, lines in found.items()}


def _cell(lines: list[dict[str, Any]]) -> Cell:
    lines = sorted(lines, key=lambda line: line["seed"])
    arrays = [np.array([line[name] for line in lines], dtype=float) for name in ("marks", "tokens", "scored")]
    return Cell(*arrays, tuple(lines[0]["tasks"]), tuple(line["seed"] for line in lines))


def paired(one: Cell, other: Cell) -> tuple[Cell, Cell]:
    """Both over the seeds that both were measured with."""
    common = [seed for seed in one.seeds if seed in other.seeds]

    def part(cell: Cell) -> Cell:
        rows = [cell.seeds.index(seed) for seed in common]
        return Cell(cell.marks[rows], cell.tokens[rows], cell.scored[rows], cell.tasks, tuple(common))

    return part(one), part(other)


def interval(values_SP: Any) -> tuple[float, float, float]:
    """Mean and 95 % bootstrap interval of [seeds, problems] numbers; problems are drawn, with all their seeds."""
    means = values_SP.mean(0)
    draws = np.random.default_rng(0).integers(0, len(means), (NUM_RESAMPLES, len(means)))
    low, high = np.percentile(means[draws].mean(1), [2.5, 97.5])
    return float(means.mean()), float(low), float(high)


def of_task(cell: Cell, task: str) -> Cell:
    """The part of a cell that belongs to a task; all of it for `all`."""
    wanted = [i for i, name in enumerate(cell.tasks) if task in ("all", name)]
    parts = [array[:, wanted] for array in cell[:3]]
    return Cell(*parts, tuple(cell.tasks[i] for i in wanted), cell.seeds)


def rows(cells: Mapping[Key, Cell]) -> list[dict[str, Any]]:
    """One row for each search, budget and task."""
    found = []
    for (policy, split, search, n), whole in sorted(cells.items()):
        for task in ("all", *sorted(set(whole.tasks))):
            cell = of_task(whole, task)
            accuracy, low, high = interval(cell.marks)
            found.append(
                {
                    "policy": policy,
                    "split": split,
                    "task": task,
                    "search": search,
                    "n": n,
                    "accuracy": round(accuracy, 4),
                    "ci_low": round(low, 4),
                    "ci_high": round(high, 4),
                    "tokens": round(float(cell.tokens.mean()), 1),
                    "scored": round(float(cell.scored.mean()), 1),
                    "problems": int(cell.marks.shape[1]),
                    "seeds": int(cell.marks.shape[0]),
                }
            )
    return found


# ---- claims ----------------------------------------------------------------------------------------------------------


def adaptive_claims(cells: Mapping[Key, Cell]) -> list[str]:
    """Adaptive N against fixed N: tokens and accuracy of the same N, and tokens at equal accuracy."""
    lines = []
    for (policy, split, search, n), cell in sorted(cells.items()):
        vote = "weighted vote" if "weighted" in search else "majority"
        fixed = cells.get((policy, split, vote, n))
        if search.startswith("adaptive rm"):
            continue
        if not search.startswith(("adaptive", "certain")) or fixed is None or n < 8:
            continue
        cell, fixed = paired(cell, fixed)
        gap, low, high = interval(cell.marks - fixed.marks)
        share = cell.tokens.mean() / fixed.tokens.mean()
        needed = _tokens_for(cells, policy, split, vote, float(cell.marks.mean()))
        equal = f"{100 * cell.tokens.mean() / needed:.0f} %" if needed is not None else "not reached by fixed N"
        lines.append(
            f"- {policy}, {split}, {search}@{n}: {100 * share:.0f} % of the tokens of {vote}@{n}, "
            f"accuracy {100 * gap:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]; tokens at equal accuracy: {equal}"
        )
    return lines


def _tokens_for(cells: Mapping[Key, Cell], policy: str, split: str, vote: str, accuracy: float) -> float | None:
    """Tokens with which a vote of a fixed N is as accurate: read off between its points, in log tokens."""
    points = sorted(
        (float(cell.tokens.mean()), float(cell.marks.mean()))
        for (p, s, search, _), cell in cells.items()
        if (p, s, search) == (policy, split, vote)
    )
    for (x0, y0), (x1, y1) in pairwise(points):
        if y0 <= accuracy <= y1 and y1 > y0:
            return float(np.exp(np.interp(accuracy, [y0, y1], np.log([x0, x1]))))
    return None


def tree_claims(cells: Mapping[Key, Cell]) -> list[str]:
    """Each tree search against the best use of samples that cost at least as many tokens."""
    lines = []
    for (policy, split, search, n), whole in sorted(cells.items()):
        if not is_tree(search):
            continue
        for task in ("all", *sorted(set(whole.tasks))):
            tree = of_task(whole, task)
            equal = _equal(cells, policy, split, whole, task)
            if equal is None:
                continue
            name, other = equal
            tree, other = paired(tree, other)
            mine, yours = interval(tree.marks), interval(other.marks)
            gap, low, high = interval(tree.marks - other.marks)
            apart = " DISJOINT" if mine[1] > yours[2] else ""
            lines.append(
                f"- {policy}, {split}, {task}: {search}@{n} {100 * mine[0]:.1f} % ({tree.tokens.mean():.0f} tokens) "
                f"against {name} {100 * yours[0]:.1f} % ({other.tokens.mean():.0f} tokens): "
                f"{100 * gap:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]{apart}"
            )
    return lines


def _equal(cells: Mapping[Key, Cell], policy: str, split: str, tree: Cell, task: str) -> tuple[str, Cell] | None:
    """The best of a tree's rivals on a task: each use of samples with what cost as many tokens.

    Of each it is the cheapest that cost at least as much, and all that cost up to a quarter more. The greedy chain is a
    rival too: it costs less, and a search that does not beat it is not worth its tokens.
    """
    mine = of_task(tree, task).tokens.mean()
    points: dict[str, dict[str, Cell]] = defaultdict(dict)
    for (p, s, search, n), whole in sorted(cells.items()):
        if (p, s) == (policy, split) and not set(tree.seeds).isdisjoint(whole.seeds) and is_samples(search):
            cell = of_task(whole, task)
            if search == "greedy" or cell.tokens.mean() >= mine * 0.999:
                points[family(search)][f"{search}@{n}"] = cell
    rivals: dict[str, Cell] = {}
    for found in points.values():
        most = max(min(cell.tokens.mean() for cell in found.values()), DEARER * mine)
        rivals |= {name: cell for name, cell in found.items() if cell.tokens.mean() <= most}
    if not any(name != "greedy@1" for name in rivals):
        return None
    name = max(rivals, key=lambda name: float(paired(rivals[name], tree)[0].marks.mean()))
    return name, rivals[name]


def regret_claims(cells: Mapping[Key, Cell]) -> list[str]:
    """CFR's average strategy against MCTS by visits at the same token budget."""
    lines = []
    for (policy, split, search, n), cell in sorted(cells.items()):
        other = cells.get((policy, split, "mcts visits", n))
        if search == "cfr tree" and other is not None:
            cell, other = paired(cell, other)
            gap, low, high = interval(cell.marks - other.marks)
            mine = f"{100 * cell.marks.mean():.1f} % ({cell.tokens.mean():.0f} tokens)"
            lines.append(
                f"- {policy}, {split}, @{n}: cfr tree {mine}, "
                f"mcts visits {100 * other.marks.mean():.1f} % ({other.tokens.mean():.0f} tokens): "
                f"{100 * gap:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
            )
    return lines


# ---- output ----------------------------------------------------------------------------------------------------------


def table(found: Sequence[Mapping[str, Any]], policy: str, split: str) -> list[str]:
    """Accuracy and tokens by search and budget, as Markdown."""
    mine = [r for r in found if (r["policy"], r["split"], r["task"]) == (policy, split, "all")]
    budgets = sorted({r["n"] for r in mine if r["n"] & (r["n"] - 1) == 0})
    lines = [f"| search | {' | '.join(f'n = {n}' for n in budgets)} |", "|---" * (len(budgets) + 1) + "|"]
    names = sorted({r["search"] for r in mine}, key=lambda name: (name.startswith("oracle"), is_tree(name), name))
    for name in names:
        at = {r["n"]: r for r in mine if r["search"] == name}
        entries = [f"{100 * at[n]['accuracy']:.1f} ({at[n]['tokens']:.0f})" if n in at else "" for n in budgets]
        lines.append(f"| {name} | {' | '.join(entries)} |")
    return lines


def plot(found: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Accuracy against tokens: a panel for each policy and split."""
    policies, splits = sorted({r["policy"] for r in found}), sorted({r["split"] for r in found})
    drawn = figure(6 * len(splits), 4.5 * len(policies))
    axes = drawn.subplots(len(policies), len(splits), squeeze=False)
    for row, policy in enumerate(policies):
        for column, split in enumerate(splits):
            axis = axes[row][column]
            mine = [r for r in found if (r["policy"], r["split"], r["task"]) == (policy, split, "all")]
            for i, name in enumerate(sorted({r["search"] for r in mine})):
                points = sorted((r["tokens"], 100 * r["accuracy"]) for r in mine if r["search"] == name)
                style = "--" if name.startswith("oracle") else ":" if is_tree(name) else "-"
                axis.plot(*zip(*points, strict=True), style, marker="o", markersize=3, label=name, color=f"C{i % 10}")
            axis.set_xscale("log", base=2)
            axis.set(title=f"{policy}, {split}", xlabel="generated tokens a problem", ylabel="accuracy, %")
            axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=7)
    save(drawn, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Table, JSON and plot of benchmarks.search.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    cells = read(folder)
    found = rows(cells)
    digest = (folder / "recipe_hash.txt").read_text().strip()
    claims = {"adaptive": adaptive_claims(cells), "trees": tree_claims(cells), "regret": regret_claims(cells)}
    (folder / "search.json").write_text(json.dumps({"recipe_hash": digest, "rows": found}, indent=1) + "\n")
    lines = [f"Recipe {digest}. Accuracy in % (generated tokens a problem).", ""]
    for policy in sorted({r["policy"] for r in found}):
        for split in sorted({r["split"] for r in found}):
            lines += [f"### {policy}, {split}", "", *table(found, policy, split), ""]
    for title, entries in claims.items():
        lines += [f"### {title}", "", *entries, ""]
    (folder / "search.md").write_text("\n".join(lines))
    plot(found, folder / "search.svg")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
