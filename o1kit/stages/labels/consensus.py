"""Step labels on which two sources agree (The Lessons of Developing Process Reward Models, arXiv 2501.07301)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from o1kit.report.label_schema import LabelRecord


def agreed(first: Sequence[float | None], second: Sequence[float | None], threshold: float) -> list[float | None]:
    """Hard labels where both sources have one and agree; nothing from the first disagreement on.

    Args:
        first, second: labels in [0, 1] of the same steps; None where a source says nothing, which is no disagreement.
        threshold: a label of at least this is 1, any other 0.
    """
    labels: list[float | None] = []
    for one, other in zip(first, second, strict=True):
        if one is None or other is None:
            labels.append(None)
        elif (one >= threshold) == (other >= threshold):
            labels.append(float(one >= threshold))
        else:
            return labels + [None] * (len(first) - len(labels))
    return labels


def consensus(first: Iterable[LabelRecord], second: Iterable[LabelRecord], threshold: float) -> Iterator[LabelRecord]:
    """The chains that both files hold, in the order of the first one, with the labels they agree on.

    A chain that stands in a file several times is compared with the other file's copies, one by one.
    """
    others: dict[tuple[str, tuple[str, ...]], list[LabelRecord]] = {}
    for record in second:
        others.setdefault(_name(record), []).append(record)
    for record in first:
        waiting = others.get(_name(record))
        if waiting:
            yield _joined(record, waiting.pop(0), threshold)


def _joined(one: LabelRecord, other: LabelRecord, threshold: float) -> LabelRecord:
    made = {
        "source": "consensus",
        "estimate": "hard",
        "completions": max(one.provenance.completions, other.provenance.completions),
        "judge": one.provenance.judge or other.provenance.judge,
    }
    return one.model_copy(
        update={
            "labels": agreed(one.labels, other.labels, threshold),
            "tokens": one.tokens + other.tokens,
            "provenance": one.provenance.model_copy(update=made),
        }
    )


def _name(record: LabelRecord) -> tuple[str, tuple[str, ...]]:
    return record.problem, tuple(record.steps)
