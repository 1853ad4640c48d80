"""JSON-lines files survive a kill at any byte, and repeat nothing after continuing."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from o1kit.tracking.jsonl import JsonlFile
from o1kit.tracking.loggers import JsonlLogger


def test_rewind_drops_what_will_be_repeated_and_a_torn_line(tmp_path: Path) -> None:
    file = JsonlFile(tmp_path / "m.jsonl")
    file.append({"step": 1, "x": 1.0}, {"step": 2, "x": 2.0}, {"step": 3, "x": 3.0})
    with file.path.open("a") as stream:
        stream.write('{"step": 4, "x"')
    assert [row["step"] for row in file.rows()] == [1, 2, 3]
    file.rewind(3)
    file.append({"step": 3, "x": 4.0})
    assert [(row["step"], row["x"]) for row in file.rows()] == [(1, 1.0), (2, 2.0), (3, 4.0)]
    file.rewind(0)
    assert file.path.read_text() == ""


def test_rows_without_a_step_are_kept(tmp_path: Path) -> None:
    file = JsonlFile(tmp_path / "r.jsonl")
    file.append({"text": "a"}, {"text": "b"})
    file.rewind(0)
    assert len(file.rows()) == 2


def test_the_logger_writes_one_valid_object_a_line(tmp_path: Path) -> None:
    logger = JsonlLogger(JsonlFile(tmp_path / "m.jsonl"))
    logger.log_metrics({"a/loss": torch.tensor(0.5), "b": float("nan")}, step=7)  # type: ignore[dict-item]
    (line,) = (tmp_path / "m.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert (row["step"], row["a/loss"], row["b"]) == (7, 0.5, None)
    assert row["time"] > 1.6e9
