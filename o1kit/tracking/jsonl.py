"""`JsonlFile`: one JSON object a line, each flushed, so that a killed run loses at most the line being written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"
ROLLOUTS = "rollouts.jsonl"


class JsonlFile:
    """A file that grows by lines. Make one per stage and `rewind` it when the stage continues from a checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, *rows: Mapping[str, Any]) -> None:
        """Adds one line for each row; NaN and infinities become null."""
        lines = "".join(json.dumps(_plain(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(lines)

    def rewind(self, step: int) -> None:
        """Drops a torn last line, and the lines from where `step` is reached: what is repeated appears once."""
        if not self.path.is_file():
            return
        kept = 0
        with self.path.open("rb") as stream:
            for line in stream:
                row = _parse(line)
                if row is None or int(row.get("step", -1)) >= step:
                    break
                kept += len(line)
        with self.path.open("rb+") as stream:
            stream.truncate(kept)

    def rows(self) -> list[dict[str, Any]]:
        """All complete lines."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as stream:
            return [row for row in map(_parse, stream) if row is not None]


def _parse(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    return _plain(value.item()) if hasattr(value, "item") else str(value)
