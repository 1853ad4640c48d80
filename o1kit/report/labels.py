"""Reading and writing files of step labels and of preference pairs, one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from o1kit.artifacts import write_stream
from o1kit.errors import DataError
from o1kit.report.label_schema import LabelRecord, PairRecord

LABELS, PAIRS = "labels.jsonl", "pairs.jsonl"
MAX_BYTES = 1 << 28
"""Longest line that is read."""

Record = TypeVar("Record", LabelRecord, PairRecord)


def record_line(record: LabelRecord | PairRecord) -> bytes:
    """A record as one line; fields that say nothing are left out."""
    return record.model_dump_json(exclude_defaults=True).encode() + b"\n"


def write_records(path: Path, records: Iterable[LabelRecord | PairRecord]) -> None:
    """Writes records, one a line, atomically."""

    write_stream(path, lambda stream: stream.writelines(map(record_line, records)))


def read_labels(path: Path) -> Iterator[LabelRecord]:
    """The labelled chains of a file.

    Raises:
        DataError: it cannot be read, or a line is not such a record; the message names the line.
    """
    return _read(path, LabelRecord)


def read_pairs(path: Path) -> Iterator[PairRecord]:
    """The preference pairs of a file.

    Raises:
        DataError: it cannot be read, or a line is not such a record; the message names the line.
    """
    return _read(path, PairRecord)


def _read(path: Path, schema: type[Record]) -> Iterator[Record]:
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(iter(lambda: stream.readline(MAX_BYTES + 1), b""), 1):
                if len(line) > MAX_BYTES:
                    raise DataError(f"{path}:{number}: longer than {MAX_BYTES >> 20} MiB. Is this such a file?")
                if line.strip():
                    yield _record(line, schema, f"{path}:{number}")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Check the path.") from error


def _record(line: bytes, schema: type[Record], place: str) -> Record:
    try:
        return schema.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{place}: {where + ': ' if where else ''}{first['msg']}. See docs/labels.md.") from error
