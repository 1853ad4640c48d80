"""The commands `o1kit labels convert` and `o1kit labels show`; what they need is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from o1kit.errors import DataError

if TYPE_CHECKING:
    from o1kit.report.label_formats import Options

Format = Literal["o1kit", "prm800k", "math_shepherd", "openr", "trl"]
Neutral = Annotated[Literal["good", "bad", "unknown"], typer.Option(help="With prm800k: what the rating 0 becomes.")]
Mark = Annotated[str | None, typer.Option(help="With math_shepherd and openr: the text that ends a step.")]

app = typer.Typer(help="Look at files of step labels, and convert them.", no_args_is_help=True)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="File to read: .jsonl, .json or .parquet.")],
    output: Annotated[Path, typer.Argument(help="File to write: .jsonl, .json or .parquet.")],
    source_format: Annotated[Format, typer.Option("--from", help="Format of the input.")],
    to: Annotated[Literal["o1kit", "trl"], typer.Option(help="Format of the output.")] = "o1kit",
    threshold: Annotated[
        float | None, typer.Option(metavar="P", help="With --to trl: soft labels of at least this become true.")
    ] = None,
    neutral: Neutral = "good",
    mark: Mark = None,
) -> None:
    """Read labels in one format and write them in another."""
    from o1kit.report.label_counts import Counts
    from o1kit.report.label_files import export_labels, import_labels
    from o1kit.report.labels import LABELS

    if threshold is not None and (to != "trl" or not 0 <= threshold <= 1):
        raise DataError("--threshold is a number from 0 to 1, and for --to trl only. Change or leave it out.")
    counts = Counts()
    path = source / LABELS if source.is_dir() else source
    records = (counts.add(r) for r in import_labels(path, source_format, _options(source_format, neutral, mark)))
    written = export_labels(output, records, to, threshold)
    print(f"{counts.text}\n{output}: {written} rows")


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="Folder of a labels stage, or a file.")],
    source_format: Annotated[Format, typer.Option("--from", help="Format of the file.")] = "o1kit",
    first: Annotated[int, typer.Option(metavar="N", help="Chains to show.")] = 3,
    neutral: Neutral = "good",
    mark: Mark = None,
) -> None:
    """Count labels, and show the first chains with theirs."""
    from o1kit.functional.printable import printable
    from o1kit.report.label_counts import Counts, rendered
    from o1kit.report.label_files import import_labels
    from o1kit.report.labels import LABELS

    file = path / LABELS if path.is_dir() else path
    counts, shown = Counts(), list[str]()
    for record in import_labels(file, source_format, _options(source_format, neutral, mark)):
        counts.add(record)
        if len(shown) < first:
            shown.append(rendered(record))
    print(printable("\n\n".join([counts.text, *shown])))


def _options(source: Format, neutral: Literal["good", "bad", "unknown"], mark: str | None) -> Options:
    from o1kit.report.label_formats import Options

    if neutral != "good" and source != "prm800k":
        raise DataError("--neutral is for prm800k only. Leave it out.")
    if mark is not None and source not in ("math_shepherd", "openr"):
        raise DataError("--mark is for math_shepherd and openr only. Leave it out.")
    return Options(neutral, mark)
