"""Reading and writing the outputs of an evaluation: every answer with its verdict, one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pydantic import TypeAdapter, ValidationError

from o1kit.artifacts import write_stream
from o1kit.errors import DataError
from o1kit.report.output_schema import AnyLine, ChainLine, HeaderLine, OutputLine, ProblemLine

FILE = "outputs.jsonl"
MAX_BYTES = 1 << 28
"""Longest line that is read."""
_LINE: TypeAdapter[HeaderLine | ProblemLine | ChainLine | OutputLine] = TypeAdapter(AnyLine)


class Outputs(NamedTuple):
    """What a file holds: problems by id (of one split each), chains by id, outputs in order."""

    header: HeaderLine
    problems: dict[str, ProblemLine]
    chains: dict[str, ChainLine]
    lines: tuple[OutputLine, ...]


def write_outputs(
    path: Path,
    header: HeaderLine,
    problems: Iterable[ProblemLine],
    chains: Iterable[ChainLine],
    lines: Sequence[OutputLine],
) -> None:
    """Writes outputs, atomically: the header, the problems, the chains, then what the searches answered."""

    def write(stream: BinaryIO) -> None:
        for part in ((header,), problems, chains, lines):
            for line in part:
                stream.write(line.model_dump_json().encode() + b"\n")

    write_stream(path, write)


def read_lines(path: Path) -> Iterator[HeaderLine | ProblemLine | ChainLine | OutputLine]:
    """The lines of a file, checked field by field, one after the other.

    Raises:
        DataError: it cannot be read, or a line is none of these; the message names the line.
    """
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(iter(lambda: stream.readline(MAX_BYTES + 1), b""), 1):
                if len(line) > MAX_BYTES:
                    raise DataError(f"{path}:{number}: longer than {MAX_BYTES >> 20} MiB. Is this such a file?")
                found = _parsed(line, f"{path}:{number}")
                if (number == 1) != isinstance(found, HeaderLine):
                    raise DataError(f"{path}:{number}: the first line, and no other, is a header. See docs/results.md.")
                yield found
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Run the evaluate stage again.") from error


def read_outputs(path: Path) -> Outputs:
    """A whole file.

    Raises:
        DataError: it is empty or malformed, or an output names a problem or chain that is not in it.
    """
    header: HeaderLine | None = None
    problems: dict[str, ProblemLine] = {}
    chains: dict[str, ChainLine] = {}
    lines: list[OutputLine] = []
    for line in read_lines(path):
        if isinstance(line, HeaderLine):
            header = line
        elif isinstance(line, ProblemLine):
            problems[line.id] = line
        elif isinstance(line, ChainLine):
            chains[line.id] = line
        else:
            lines.append(line)
            missing = [name for name in line.chains if name not in chains]
            if line.problem not in problems or missing:
                what = f"chain {missing[0]!r}" if missing else f"problem {line.problem!r}"
                raise DataError(f"{path}: an output names the {what}, which is not in the file. It is damaged.")
    if header is None:
        raise DataError(f"{path}: is empty. Run the evaluate stage again.")
    return Outputs(header, problems, chains, tuple(lines))


def _parsed(line: bytes, place: str) -> HeaderLine | ProblemLine | ChainLine | OutputLine:
    try:
        return _LINE.validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{place}: {where + ': ' if where else ''}{first['msg']}. See docs/results.md.") from error
