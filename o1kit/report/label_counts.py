"""What a file of step labels holds, in figures and as text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from o1kit.report.label_schema import LabelRecord

GOOD = 0.5
"""A label of at least this counts as good."""
WIDTH = 100


@dataclass
class Counts:
    """What a file of step labels holds."""

    records: int = 0
    steps: int = 0
    good: int = 0
    bad: int = 0
    soft: int = 0
    tokens: int = 0
    problems: set[str] = field(default_factory=set)
    sources: Counter[str] = field(default_factory=Counter)

    def add(self, record: LabelRecord) -> LabelRecord:
        """Counts a record and returns it."""
        known = [label for label in record.labels if label is not None]
        good = sum(label >= GOOD for label in known)
        self.records += 1
        self.steps += len(record.steps)
        self.good += good
        self.bad += len(known) - good
        self.soft += sum(label not in (0.0, 1.0) for label in known)
        self.tokens += record.tokens
        self.problems.add(record.problem)
        self.sources[record.provenance.source] += 1
        return record

    @property
    def labelled(self) -> int:
        """Steps with a label."""
        return self.good + self.bad

    @property
    def summary(self) -> dict[str, float]:
        """The figures by name; shares of nothing are 0."""
        return {
            "records": self.records,
            "problems": len(self.problems),
            "steps": self.steps,
            "labelled": self.labelled,
            "positive": self.good / max(self.labelled, 1),
            "without_label": 1 - self.labelled / max(self.steps, 1),
        }

    @property
    def text(self) -> str:
        """The same in words."""
        share, none = self.good / max(self.labelled, 1), self.steps - self.labelled
        sources = ", ".join(f"{name} {count}" for name, count in sorted(self.sources.items()))
        return (
            f"{self.records} chains of {len(self.problems)} problems, {self.steps} steps\n"
            f"labels: {self.good} good ({share:.1%}), {self.bad} bad, {self.soft} of them soft; "
            f"{none} steps without ({none / max(self.steps, 1):.1%})\n"
            f"source: {sources or 'none'}; {self.tokens} tokens generated"
        )


def rendered(record: LabelRecord) -> str:
    """A record as text: a step a line, its label before it."""
    end = {True: "right", False: "wrong", None: "unknown"}[record.correct]
    lines = [f"{record.problem}: {_short(record.prompt)} ({end})"]
    for step, label in zip(record.steps, record.labels, strict=True):
        lines.append(f"  {'  - ' if label is None else f'{label:.2f}'}  {_short(step)}")
    return "\n".join(lines)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
