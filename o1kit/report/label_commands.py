"""The commands `o1kit labels convert` and `o1kit labels show`; what they need is imported when they run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o1kit.errors import DataError

if TYPE_CHECKING:
    from o1kit.report.label_formats import Options

FORMATS = ("o1kit", "prm800k", "math_shepherd", "openr", "trl")


def add_commands(commands: Any, epilog: str) -> None:
    """Adds `labels` with its own commands to a parser's."""
    text = "look at files of step labels, and convert them"
    labels = commands.add_parser("labels", help=text, description=text[0].upper() + text[1:] + ".", epilog=epilog)
    inner = labels.add_subparsers(title="commands", required=True, metavar="COMMAND")
    convert = inner.add_parser("convert", help="read labels in one format and write them in another", epilog=epilog)
    convert.set_defaults(function=_convert)
    convert.add_argument("input", type=Path, help="file to read: .jsonl, .json or .parquet")
    convert.add_argument("output", type=Path, help="file to write: .jsonl, .json or .parquet")
    convert.add_argument("--from", dest="source", choices=FORMATS, required=True, help="format of the input")
    convert.add_argument("--to", choices=["o1kit", "trl"], default="o1kit", help="format of the output")
    convert.add_argument(
        "--threshold", type=float, metavar="P", help="with --to trl: soft labels of at least this become true"
    )
    _add_options(convert)
    show = inner.add_parser("show", help="count labels, and show the first chains with theirs", epilog=epilog)
    show.set_defaults(function=_show)
    show.add_argument("path", type=Path, help="folder of a labels stage, or a file")
    show.add_argument("--from", dest="source", choices=FORMATS, default="o1kit", help="format of the file")
    show.add_argument("--first", type=int, default=3, metavar="N", help="chains to show (default: 3)")
    _add_options(show)


def _add_options(parser: argparse.ArgumentParser) -> None:
    text = "with prm800k: what the rating 0 becomes (default: good)"
    parser.add_argument("--neutral", choices=["good", "bad", "unknown"], default="good", help=text)
    parser.add_argument("--mark", help="with math_shepherd and openr: the text that ends a step")


def _convert(options: argparse.Namespace) -> int:
    from o1kit.report.label_counts import Counts
    from o1kit.report.label_files import export_labels, import_labels
    from o1kit.report.labels import LABELS

    threshold = options.threshold
    if threshold is not None and (options.to != "trl" or not 0 <= threshold <= 1):
        raise DataError("--threshold is a number from 0 to 1, and for --to trl only. Change or leave it out.")
    counts = Counts()
    path = options.input / LABELS if options.input.is_dir() else options.input
    records = (counts.add(r) for r in import_labels(path, options.source, _options(options)))
    written = export_labels(options.output, records, options.to, threshold)
    print(f"{counts.text}\n{options.output}: {written} rows")
    return 0


def _show(options: argparse.Namespace) -> int:
    from o1kit.functional.printable import printable
    from o1kit.report.label_counts import Counts, rendered
    from o1kit.report.label_files import import_labels
    from o1kit.report.labels import LABELS

    path = options.path / LABELS if options.path.is_dir() else options.path
    counts, shown = Counts(), list[str]()
    for record in import_labels(path, options.source, _options(options)):
        counts.add(record)
        if len(shown) < options.first:
            shown.append(rendered(record))
    print(printable("\n\n".join([counts.text, *shown])))
    return 0


def _options(options: argparse.Namespace) -> Options:
    from o1kit.report.label_formats import Options

    if options.neutral != "good" and options.source != "prm800k":
        raise DataError("--neutral is for prm800k only. Leave it out.")
    if options.mark is not None and options.source not in ("math_shepherd", "openr"):
        raise DataError("--mark is for math_shepherd and openr only. Leave it out.")
    return Options(options.neutral, options.mark)
