"""Token sequences on a terminal: trained tokens coloured, or between brackets where there are no colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text

from o1kit.functional.printable import printable
from o1kit.samples.sample import Samples, TokenRow, pieces

OPEN, CLOSE = "⟦", "⟧"
"""Around trained tokens."""
LEGEND = {False: f"trained tokens: {OPEN}like this{CLOSE}", True: "trained tokens are green"}
INDENT = "    "


def rendered(samples: Samples, decode: Callable[[Sequence[int]], str], eos_id: int, *, colour: bool) -> list[Text]:
    """Lines: what is shown, each sequence, and the figures of all."""
    found = [Text(printable(samples.about)), Text(f"{LEGEND[colour]}; ◂ is a step's label", style="dim")]
    for row in samples.shown:
        found += [Text(), Text(printable(_head(row, eos_id)), style="bold"), _body(row, decode, colour)]
    figures = "; ".join(f"{name} {value}" for name, value in samples.figures.items())
    return [*found, Text(), Text(printable(f"all: {figures} (least / mean / most)"))]


def _head(row: TokenRow, eos_id: int) -> str:
    """Name, length, trained share, and whether the end of the text is learned."""
    count = len(row.token_ids)
    parts = [f"{count} tokens", f"{sum(row.trained)} trained ({row.share:.1%})"]
    if row.prompt_length is not None:
        parts.insert(1, f"{row.prompt_length} of them the prompt")
    if any(row.trained):
        ends = row.token_ids[-1] == eos_id and row.trained[-1]
        parts.append("end-of-text trained" if ends else "end-of-text not trained")
    return f"{row.title}: {', '.join([*parts, *row.notes])}"


def _body(row: TokenRow, decode: Callable[[Sequence[int]], str], colour: bool) -> Text:
    """The tokens as text; line ends are written out, and a new line begins after them."""
    text = Text(INDENT)
    for piece in pieces(row):
        said = printable(decode(piece.token_ids)).replace("\n", f"↵\n{INDENT}")
        after = said.endswith(f"\n{INDENT}")
        if after:
            said = said.removesuffix(f"\n{INDENT}")
        if piece.trained:
            text.append(said if colour else f"{OPEN}{said}{CLOSE}", style="green")
        else:
            text.append(said, style="dim" if colour else "")
        if piece.mark:
            text.append(f" ◂{piece.mark} ", style="bold cyan")
        if after:
            text.append(f"\n{INDENT}")
    return text
