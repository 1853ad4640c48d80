"""The table at the end of a run: a row for each policy and search, accuracy by split with its interval, tokens."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from o1kit.report.details import aligned, summary_lines
from o1kit.report.results import ResultRow, Results


def headings(results: Results) -> list[str]:
    """Column titles: policy, search, accuracy by split, tokens per problem by split."""
    splits = _splits(results)
    tokens = [f"tokens {split}" for split in splits] if len(splits) > 1 else ["tokens"]
    return ["policy", "search", *splits, *tokens]


def cells(results: Results) -> list[list[str]]:
    """The table's body as text, one list a row, in the order in which the rows first appear."""
    splits = _splits(results)
    lines = []
    for policy, search in dict.fromkeys((row.policy, row.search) for row in results.rows):
        found = [results.find(policy, search, split) for split in splits]
        name = next((row.name for row in found if row is not None and row.oracle), search)
        tokens = [f"{row.tokens_per_problem:,.0f}" if row else "-" for row in found]
        lines.append([policy, name, *map(_accuracy, found), *tokens])
    return lines


def render_plain(results: Results) -> str:
    """The table as aligned text."""
    lines = [headings(results), *cells(results)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(aligned(lines, left=2)) + f"\n{_note(results)}"


def render_rich(results: Results) -> Table:
    """The table for a terminal; a line separates the policies."""
    table = Table(title=results.run, caption=_note(results), caption_justify="left")
    for i, heading in enumerate(headings(results)):
        table.add_column(heading, justify="left" if i < 2 else "right")
    last = None
    for line in cells(results):
        if last not in (None, line[0]):
            table.add_section()
        table.add_row(line[0] if line[0] != last else "", *line[1:])
        last = line[0]
    return table


def print_report(results: Results, console: Console, *, plain: bool) -> None:
    """Prints the table and what is worth knowing besides, then each question with the chain that answers it."""
    console.print()
    if plain:
        console.print(render_plain(results), markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(render_rich(results))
    for line in summary_lines(results):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for asked in results.answers:
        chain = "\n".join(f"    {line}" for line in asked.chain.splitlines())
        text = f"\n{asked.question}\n{chain}\n  {asked.policy} answers: {asked.answer or '(nothing)'}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _splits(results: Results) -> list[str]:
    return list(dict.fromkeys(row.split for row in results.rows))


def _accuracy(row: ResultRow | None) -> str:
    if row is None:
        return "-"
    return f"{100 * row.accuracy:.1f} [{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}]"


def _note(results: Results) -> str:
    sizes = dict.fromkeys((row.split, row.n) for row in results.rows)
    counts = ", ".join(f"{n} {split}" for split, n in sizes)
    seeds = max((row.seeds for row in results.rows), default=1)
    means = f"; means of {seeds} seeds" if seeds > 1 else ""
    return f"accuracy in %, with 95 % interval; problems: {counts}; tokens: generated per problem{means}"
