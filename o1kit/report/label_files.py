"""Files of step labels in any format: JSON lines, JSON, or Parquet; what is wrong is told with file and line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from o1kit.artifacts import write_atomic, write_stream
from o1kit.errors import DataError
from o1kit.report.label_formats import DEFAULT, READERS, Options, to_trl
from o1kit.report.label_schema import LabelRecord
from o1kit.report.labels import MAX_BYTES

PARQUET, JSON = ".parquet", ".json"


def import_labels(path: Path, kind: str, options: Options = DEFAULT) -> Iterator[LabelRecord]:
    """The records of a file, one after the other.

    Args:
        path: `.parquet`; `.json`, a list of rows or one row; anything else has one JSON object a line.
        kind: the format, a name in `READERS`.
        options: how rows are read.

    Raises:
        DataError: it cannot be read, or a row is not of that format; the message names file and line.
    """
    read = READERS[kind]
    for place, row in _rows(path):
        try:
            yield from read(row, options)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            text = f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
            raise DataError(f"{place}: {text}. Is this {kind}? See docs/labels.md.") from error
        except ValueError as error:
            raise DataError(f"{place}: {error}. Is this {kind}? See docs/labels.md.") from error


def export_labels(path: Path, records: Iterable[LabelRecord], kind: str, threshold: float | None = None) -> int:
    """Writes records as `o1kit` or `trl` rows, atomically, and returns how many; the suffix decides as above.

    Raises:
        DataError: `trl` cannot say what a record says; the message names the record.
    """
    rows = _exported(records, kind, threshold, whole=path.suffix == PARQUET)
    count = 0
    if path.suffix == PARQUET:
        found = list(rows)
        _write_parquet(path, found)
        return len(found)
    if path.suffix == JSON:
        found = list(rows)
        write_atomic(path, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
        return len(found)

    def write(stream: Any) -> None:
        nonlocal count
        for row in rows:
            count += 1
            stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    write_stream(path, write)
    return count


def _exported(
    records: Iterable[LabelRecord], kind: str, threshold: float | None, whole: bool
) -> Iterator[dict[str, Any]]:
    for number, record in enumerate(records, 1):
        if kind == "o1kit":
            yield record.model_dump(mode="json", exclude_defaults=not whole)
            continue
        try:
            row = to_trl(record, threshold)
        except ValueError as error:
            raise DataError(f"record {number} (problem {record.problem!r}): {error}.") from error
        if row is not None:
            yield row


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Rows with their places: `file:line`, or the number within a list or table."""
    try:
        if path.suffix == PARQUET:
            yield from ((f"{path}: row {n}", row) for n, row in enumerate(_read_parquet(path), 1))
        elif path.suffix == JSON:
            with path.open("rb") as stream:
                text = stream.read(MAX_BYTES + 1)
            if len(text) > MAX_BYTES:
                raise DataError(f"{path}: more than {MAX_BYTES >> 20} MiB. Write one row a line (.jsonl).")
            found = _parsed(text, str(path))
            rows = found if isinstance(found, list) else [found]
            yield from ((f"{path}: number {n}" if found is rows else str(path), row) for n, row in enumerate(rows, 1))
        else:
            with path.open("rb") as stream:
                for number, line in enumerate(iter(lambda: stream.readline(MAX_BYTES + 1), b""), 1):
                    if len(line) > MAX_BYTES:
                        raise DataError(f"{path}:{number}: longer than {MAX_BYTES >> 20} MiB. Is this such a file?")
                    if line.strip():
                        yield f"{path}:{number}", _parsed(line, f"{path}:{number}")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}. Check the path.") from error


def _parsed(text: bytes, place: str) -> Any:
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()  # half a character, which no file and no tokenizer takes
        return value
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: is not JSON: {error}. See docs/labels.md.") from error


def _read_parquet(path: Path) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(64):
            yield from batch.to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path}: is not a Parquet file: {error}. Check the path.") from error
    except OSError as error:
        if not path.is_file():
            raise
        raise DataError(f"{path}: is not a readable Parquet file: {error}.") from error
    except Exception as error:  # pyarrow's own, and those of time zones, dates and codecs
        raise DataError(f"{path}: cannot be read as Parquet: {error}. Is the file damaged?") from error


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist(rows)
    write_stream(path, lambda stream: pyarrow.parquet.write_table(table, stream))
