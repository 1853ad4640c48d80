"""What a trained reward model is worth on chains kept out of training, and its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from o1kit.functional.calibration import Platt, fit_platt
from o1kit.functional.process_metrics import inner_and_ends, process_bench, reliability, step_accuracy, within_auc
from o1kit.functional.statistics import expected_calibration_error, f1, roc_auc
from o1kit.models.language_model import LanguageModel
from o1kit.stages.prm.config import PairwiseObjectiveConfig, PrmConfig
from o1kit.stages.prm.data import collate
from o1kit.stages.prm.examples import Example

ROWS = 128
"""Chains read together."""
FOLDS = 5
"""Parts of the held-out problems, each of which is measured with the calibration fitted on the others."""
LEAST = 50
"""Fewest labels of chain ends, or of steps before them, that get a calibration of their own."""


class Read(NamedTuple):
    """An example with the model's raw reading at each labelled position."""

    example: Example
    logits: tuple[float, ...]


@torch.inference_mode()
def read_examples(model: LanguageModel, examples: Sequence[Example]) -> list[Read]:
    """The model's raw readings of all examples."""
    model.eval()
    found = []
    for start in range(0, len(examples), ROWS):
        rows = examples[start : start + ROWS]
        batch = collate(rows)
        hidden = model.hidden(batch.token_ids_BT.to(model.device), use_cache=False).cpu()
        read = hidden[batch.mask_BT].to(model.device)
        logits = model.read(read, batch.features_BTF[batch.mask_BT]).tolist()
        # The mask lists positions of a row from left to right, as `ends` does.
        for row in rows:
            found.append(Read(row, tuple(logits[: len(row.ends)])))
            logits = logits[len(row.ends) :]
    return found


def probabilities(logits: Sequence[float]) -> list[float]:
    """1 / (1 + exp(-x)) of each, as a search reads them."""
    found: list[float] = torch.sigmoid(torch.tensor(logits)).tolist()
    return found


class Fits(NamedTuple):
    """What makes readings calibrated ones: at the ends of chains, and at the steps before."""

    ends: Platt
    inner: Platt


def fit(reads: Sequence[Read]) -> Fits:
    """Scale and bias of the readings' log-odds, and weights of surprise where it is read; none without readings.

    Ends and steps before them are fitted apart, unless there are fewer than `LEAST` of either.
    """
    told = [(x, y, f, end) for r in reads for x, y, f, end in zip(*_columns(r), _ends(r), strict=True)]
    parts = [[row for row in told if row[-1] is end] for end in (True, False)]
    if min(map(len, parts)) < LEAST:
        parts = [told]
    fits = [_fit_part(part) for part in parts]
    return Fits(fits[0], fits[-1])


def _fit_part(rows: Sequence[tuple[float, float, Sequence[float], bool]]) -> Platt:
    if not rows:
        return Platt()
    logits, labels, features, _ = zip(*rows, strict=True)
    return fit_platt(logits, labels, features if all(features) else None)


def _columns(read: Read) -> tuple[Sequence[float], Sequence[float], Sequence[Sequence[float]]]:
    """Readings, labels and features (empty where surprise is not read) of a chain."""
    return read.logits, read.example.labels, read.example.features or [()] * len(read.logits)


def _ends(read: Read) -> list[bool]:
    """Of each reading of a chain whether it is that of its end."""
    last = len(read.logits) - 1
    return [read.example.ended and i == last for i in range(len(read.logits))]


def cross_calibrated(reads: Sequence[Read]) -> list[Read]:
    """The readings, each calibrated by what was fitted on other problems: none is measured with a fit of its own.

    The problems are dealt into `FOLDS` parts, and each part gets the fit of all others. A fit on all of them, which is
    what goes with the weights, is about as good; a single half would have left both halves too small to tell.
    """
    number = {name: i for i, name in enumerate(dict.fromkeys(r.example.problem for r in reads))}
    folds = [number[r.example.problem] % FOLDS for r in reads]
    fits = {f: fit([r for r, own in zip(reads, folds, strict=True) if own != f]) for f in sorted(set(folds))}
    return [calibrated(r, fits[f]) for r, f in zip(reads, folds, strict=True)]


def calibrated(read: Read, fits: Fits) -> Read:
    """A chain's readings after calibration."""
    logits, _, features = _columns(read)
    own = [fits.ends if end else fits.inner for end in _ends(read)]
    return Read(
        read.example, tuple(p.apply(x, f[: len(p.weights)]) for p, x, f in zip(own, logits, features, strict=True))
    )


def measure(reads: Sequence[Read], config: PrmConfig) -> dict[str, Any]:
    """Figures by name; of comparisons only what comparisons can tell. Labels of at least one half count as good."""
    if isinstance(config.objective, PairwiseObjectiveConfig):
        return _questions(reads) if config.reading.by == "tokens" else _within(reads)
    scores = probabilities([x for r in reads for x in r.logits])
    labels = [x for r in reads for x in r.example.labels]
    hard, called = [label >= 0.5 for label in labels], [score >= 0.5 for score in scores]
    summary: dict[str, Any] = {
        "prm/steps": float(len(labels)),
        "prm/ece": expected_calibration_error(scores, labels),
        "prm/f1_ok": f1(called, hard),
        "prm/f1_err": f1([not c for c in called], [not h for h in hard]),
        "prm/step_accuracy": step_accuracy(scores, labels),
    }
    ends = [end for r in reads for end in _ends(r)]
    for part, (error, auc) in inner_and_ends(scores, labels, ends).items():
        summary |= {f"prm/{part}_ece": error} | ({f"prm/{part}_auc": auc} if auc is not None else {})
    if any(hard) and not all(hard):
        summary["prm/auc"] = roc_auc(scores, hard)
    whole = [r for r in reads if r.example.complete]
    found = process_bench([probabilities(r.logits) for r in whole], [r.example.labels for r in whole])
    named = {"f1": found.f1, "error_accuracy": found.error_accuracy, "correct_accuracy": found.correct_accuracy}
    summary |= {f"prm/processbench_{name}": value for name, value in named.items() if value is not None}
    return summary | _within(reads) | {"prm/reliability": [bar._asdict() for bar in reliability(scores, labels)]}


def _within(reads: Sequence[Read]) -> dict[str, Any]:
    """Whether right chains of a problem are told from its wrong ones, at their ends."""
    ends = [r for r in reads if r.example.ended]
    good = [r.example.labels[-1] >= 0.5 for r in ends]
    found = within_auc([r.logits[-1] for r in ends], good, [r.example.group for r in ends])
    return {"prm/within_problems": float(found.problems)} | (
        {"prm/within_auc": found.auc} if found.auc is not None else {}
    )


def _questions(reads: Sequence[Read]) -> dict[str, Any]:
    """Accuracy of the answers to which of two chains is better, as asked, and with both orders taken together."""
    right = [(r.logits[0] >= 0) == (r.example.labels[0] >= 0.5) for r in reads]
    both = zip(reads[::2], reads[1::2], strict=True)  # each question is followed by the same one the other way round
    symmetric = [a.logits[0] > b.logits[0] for a, b in both]  # (P(1 > 2) + 1 - P(2 > 1)) / 2 > 1/2
    summary: dict[str, Any] = {"prm/questions": float(len(reads)), "prm/acc": sum(right) / max(len(right), 1)}
    return summary | ({"prm/symmetric_acc": sum(symmetric) / len(symmetric)} if symmetric else {})
