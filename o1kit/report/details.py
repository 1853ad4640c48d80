"""What a table leaves out: differences between rows, chains that went wrong, known problems, the judge itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from o1kit.report.results import Comparison, Overlap, ResultRow, Results

LEVEL = 0.05
"""Up to this p value, corrected, a difference is called significant."""
WRONG = {
    "no_answer": "no answer",
    "truncated": "cut off",
    "repetitive": "repetitive",
    "over_reflective": "over-reflective",
}
NOTABLE = 0.01
"""From this share of the chains on, the short report tells what went wrong."""


def summary_lines(results: Results) -> list[str]:
    """What the report says below the table: a line for each thing worth knowing."""
    lines = _overlaps_lines(results.overlaps)
    lines += _wrong_lines(results.rows)
    if results.reward:
        lines += reward_lines(results.reward)[:1] if "steps" in results.reward else []
    if results.comparisons:
        found = sum(one.p_adjusted <= LEVEL for one in results.comparisons)
        text = f"paired differences: {found} of {len(results.comparisons)} significant at {LEVEL:.0%} (sign test, Holm)"
        lines.append(f"{text}; to see them: o1kit compare RUN")
    return lines


def detail_lines(results: Results) -> list[str]:
    """Everything that is known besides the table."""
    lines = comparison_lines(results.comparisons)
    wrong = [row for row in results.rows if row.extra.get("degeneration")]
    if wrong:
        names = list(wrong[0].extra["degeneration"])
        body = [[row.policy, row.name, row.split, *_shares(row.extra["degeneration"], names)] for row in wrong]
        heads = [WRONG.get(name, name.replace("_", " ")) for name in names]
        lines += ["", "how chains went wrong (shares in %, means as they are)"]
        lines += aligned([["policy", "search", "split", *heads], *body], left=3)
    spread = [row for row in results.rows if row.seed_std is not None]
    if spread:
        body = [[r.policy, r.name, r.split, _points(r.accuracy), _points(r.seed_std or 0)] for r in spread]
        lines += ["", f"from seed to seed, over {max(row.seeds for row in spread)} seeds (points)"]
        lines += aligned([["policy", "search", "split", "mean", "standard deviation"], *body], left=3)
    for overlap in results.overlaps:
        lines += ["", f"problems of {overlap.split} that are like problems of {overlap.against}: {_overlap(overlap)}"]
        for example in overlap.examples:
            lines.append(f"  {example['problem']}: {' '.join(example['text'].split())}")
            if "like" in example:
                lines.append(f"    like: {' '.join(example['like'].split())}")
    if results.reward:
        lines += ["", *reward_lines(results.reward), *reliability_lines(results.reward.get("reliability", ()))]
    return lines


def comparison_lines(comparisons: Sequence[Comparison]) -> list[str]:
    """A table of differences in points, with intervals and corrected p values."""
    if not comparisons:
        return []
    head = ["split", "policy", "search", "against", "difference", "95 % interval", "better", "worse", "p", "p (Holm)"]
    body = []
    for one in comparisons:
        base = one.base_search if one.base_policy == one.policy else f"{one.base_policy} {one.base_search}"
        interval = f"[{100 * one.ci_low:+.1f}, {100 * one.ci_high:+.1f}]"
        numbers = [f"{100 * one.difference:+.1f}", interval, str(one.better), str(one.worse)]
        mark = " *" if one.p_adjusted <= LEVEL else "  "
        p = [f"{one.p:.3g}", f"{one.p_adjusted:.3g}{mark}"]
        body.append([one.split, one.policy, one.search, base, *numbers, *p])
    note = f"points of accuracy on the same problems; *: significant at {LEVEL:.0%}, corrected for all of them"
    return [*aligned([head, *body], left=4), note]


def reward_lines(reward: Mapping[str, Any]) -> list[str]:
    """The judge's own figures."""
    lines = []
    if "steps" in reward:
        figures = [f"step accuracy {100 * reward['step_accuracy']:.1f} %"]
        figures += [f"F1 (ProcessBench) {100 * reward['f1']:.1f}"] if "f1" in reward else []
        figures += [f"AUC {reward['auc']:.3f}"] if "auc" in reward else []
        figures += [f"{reward['auc_whole_chains']:.3f} on whole chains"] if "auc_whole_chains" in reward else []
        figures += [f"{reward['auc_within_problem']:.3f} within problems"] if "auc_within_problem" in reward else []
        figures.append(f"calibration error {reward['calibration_error']:.3f}")
        if "auc_inner" in reward:
            figures.append(
                f"steps before a chain's end AUC {reward['auc_inner']:.3f}, "
                f"calibration error {reward['calibration_error_inner']:.3f}"
            )
        lines.append(
            f"judge {reward['judge']} on {reward['steps']:,} labelled steps: {', '.join(figures)}{_left_out(reward)}"
        )
    for one in reward.get("best_of_n", ()):
        gains = [
            f"{100 * one[name]:+.1f} over {what}"
            for name, what in (("gain_pass_at_1", "pass@1"), ("gain_majority", "majority"))
            if name in one
        ]
        lines.append(f"judge {reward['judge']}: {one['policy']} {one['search']}, {one['split']}: {', '.join(gains)}")
    return lines


def _left_out(reward: Mapping[str, Any]) -> str:
    count = reward.get("labels", {}).get("left_out", 0)
    return f"; {count:,} chains of problems that it was trained on left out" if count else ""


def reliability_lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The reliability table."""
    body = [
        [
            f"{row['low']:.1f} to {row['high']:.1f}",
            f"{row['size']:,}",
            f"{row['predicted']:.3f}",
            f"{row['observed']:.3f}",
        ]
        for row in rows
    ]
    return aligned([["score", "steps", "predicted", "observed"], *body], left=1) if body else []


def aligned(lines: Sequence[Sequence[str]], left: int) -> list[str]:
    """Rows as text: the first columns begin under each other, the others end under each other."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = [
        "  ".join(
            text.ljust(w) if i < left else text.rjust(w) for i, (text, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return [line.rstrip() for line in padded]


def _overlaps_lines(overlaps: Sequence[Overlap]) -> list[str]:
    parts: dict[str, list[str]] = {}
    for overlap in overlaps:
        parts.setdefault(overlap.against, []).append(f"{overlap.split} {_overlap(overlap)}")
    return [f"like problems of {against}: {'; '.join(found)}" for against, found in parts.items()]


def _overlap(overlap: Overlap) -> str:
    kinds = f"{overlap.exact} the same, {overlap.normalised - overlap.exact} but for case, blanks and marks"
    return f"{overlap.similar} of {overlap.n} ({kinds})" if overlap.similar else f"0 of {overlap.n}"


def _wrong_lines(rows: Sequence[ResultRow]) -> list[str]:
    """The worst row of each policy and split, if anything about it is worth telling."""
    lines = []
    for policy, split in dict.fromkeys((row.policy, row.split) for row in rows):
        found = [row for row in rows if (row.policy, row.split) == (policy, split) and row.extra.get("degeneration")]
        if not found:
            continue
        worst = max(found, key=lambda row: sum(row.extra["degeneration"][name] for name in WRONG))
        shares = worst.extra["degeneration"]
        told = [f"{100 * shares[name]:.1f} % {what}" for name, what in WRONG.items() if shares[name] >= NOTABLE]
        if told:
            lines.append(f"chains of {policy}, {split}, at worst ({worst.name}): {', '.join(told)}")
    return lines


def _shares(found: Mapping[str, float], names: Iterable[str]) -> list[str]:
    return [f"{found[name]:.2f}" if name.startswith("mean_") else f"{100 * found[name]:.1f}" for name in names]


def _points(value: float) -> str:
    return f"{100 * value:.1f}"
