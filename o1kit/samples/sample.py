"""What a stage trains on, in tokens: which of them count, where steps end, and what is said of them there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token sequence."""

    title: str
    token_ids: tuple[int, ...]
    trained: tuple[bool, ...]
    """Which tokens carry a loss."""
    marks: Mapping[int, str] = field(default_factory=dict)
    """What is read after a token: the label of the step that ends there."""
    prompt_length: int | None = None
    """Tokens of the prompt, where they are known apart."""
    notes: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """The share of tokens that carry a loss."""
        return sum(self.trained) / max(len(self.trained), 1)


class Piece(NamedTuple):
    """Neighbouring tokens of one kind, and the mark after the last of them."""

    token_ids: tuple[int, ...]
    trained: bool
    mark: str


def pieces(sequence: TokenRow) -> Iterator[Piece]:
    """A sequence cut wherever its tokens begin or cease to be trained, and after each mark."""
    start = 0
    for i in range(len(sequence.token_ids)):
        last = i + 1 == len(sequence.token_ids)
        if last or i in sequence.marks or sequence.trained[i + 1] != sequence.trained[i]:
            yield Piece(sequence.token_ids[start : i + 1], sequence.trained[i], sequence.marks.get(i, ""))
            start = i + 1


class Samples(NamedTuple):
    """The first sequences that a stage trains on, and figures of all of them."""

    shown: Sequence[TokenRow]
    figures: Mapping[str, float | str]
    about: str
    """What is shown, in words."""


def as_data(samples: Samples, decode: Callable[[Sequence[int]], str]) -> dict[str, Any]:
    """Samples for programs: each sequence as pieces of text, trained or not, with the label that is read after one."""
    rows = [
        {
            "title": row.title,
            "tokens": len(row.token_ids),
            "trained_tokens": sum(row.trained),
            "prompt_tokens": row.prompt_length,
            "notes": list(row.notes),
            "pieces": [
                {
                    "text": decode(piece.token_ids),
                    "token_ids": list(piece.token_ids),
                    "trained": piece.trained,
                    "label": piece.mark or None,
                }
                for piece in pieces(row)
            ],
        }
        for row in samples.shown
    ]
    return {"about": samples.about, "samples": rows, "figures": dict(samples.figures)}


class Totals:
    """Collects the figures of many sequences, and keeps the first of them."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.shown: list[TokenRow] = []
        self.lengths: list[int] = []
        self.shares: list[float] = []

    def add(self, *sequences: TokenRow, shows: bool = True) -> None:
        """Counts the sequences of one row."""
        for sequence in sequences:
            self.lengths.append(len(sequence.token_ids))
            self.shares.append(sequence.share)
        if shows and len(self.shown) < self.first * len(sequences):
            self.shown.extend(sequences)

    def figures(self) -> dict[str, float | str]:
        """Rows, lengths and trained shares: least, mean, most."""
        found: dict[str, float | str] = {"sequences": len(self.lengths)}
        if self.lengths:
            found["tokens"] = spread(self.lengths, "{:.0f}")
            found["trained share"] = spread(self.shares, "{:.1%}")
        return found


def spread(values: Sequence[float], form: str) -> str:
    """`least / mean / most`."""
    return " / ".join(form.format(v) for v in (min(values), sum(values) / len(values), max(values)))
