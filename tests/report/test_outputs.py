"""Files of outputs: what is written is read, what is damaged is named, what is documented is in force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from o1kit.errors import DataError
from o1kit.report.output_schema import ChainLine, HeaderLine, OutputFile, OutputLine, ProblemLine
from o1kit.report.outputs import read_outputs, write_outputs
from o1kit.report.tree import json_schema

DOCS = Path(__file__).parents[2] / "docs"
HEADER = HeaderLine(
    o1kit="0", recipe_hash="h", recipe_directory="/r", stage="e", seed=2**62, graders={"sums": "exact 1"}
)
PROBLEM = ProblemLine(id="p", split="heldout", task="sums", prompt="1+1=?\u2028 é")
CHAIN = ChainLine(id="c", problem="p", text="two\n", answer="2", tokens=3, finish="length")
OUTPUT = OutputLine(
    policy="sft",
    search="rm@2",
    split="heldout",
    key=2**63,
    problem="p",
    chains=["c", "c"],
    scores=[0.5, None],
    answers=["2"],
    chosen="2",
    outcomes=["right"],
    marks=[1.0],
    generated=6,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_outputs(tmp_path / "outputs.jsonl", HEADER, [PROBLEM], [CHAIN], [OUTPUT])
    return tmp_path / "outputs.jsonl"


def test_what_is_written_is_read(path: Path) -> None:
    found = read_outputs(path)
    assert found == (HEADER, {"p": PROBLEM}, {"c": CHAIN}, (OUTPUT,))
    assert found.chains["c"].truncated and not CHAIN.model_copy(update={"finish": "answer"}).truncated


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (1, {"format": 2}, r":1: header.format"),
        (1, {"kind": "problem"}, r":1: problem"),
        (2, {"kind": "header"}, r":2: header"),
        (2, {"extra": 1}, r":2: problem.extra"),
        (3, {"tokens": -1}, r":3: chain.tokens"),
        (4, {"outcomes": ["maybe"]}, r":4: output.outcomes"),
        (4, {"marks": []}, r":4: output: .*1 answers, 1 outcomes, 0 marks"),
        (4, {"scores": [0.1]}, r":4: output: .*1 scores for 2 chains"),
        (4, {"chains": ["c", "d"], "scores": []}, r"names the chain 'd'"),
        (4, {"problem": "q"}, r"names the problem 'q'"),
    ],
)
def test_a_damaged_line_is_named(path: Path, number: int, change: dict[str, Any], message: str) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[number - 1] = json.dumps(json.loads(lines[number - 1]) | change)
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_outputs(path)


def test_a_file_needs_its_header(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join(lines[1:]), encoding="utf-8")
    with pytest.raises(DataError, match=r":1: the first line, and no other, is a header"):
        read_outputs(path)
    path.write_text("")
    with pytest.raises(DataError, match="is empty"):
        read_outputs(path)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        read_outputs(path)


def test_the_schema_in_the_documentation_is_the_one_in_force() -> None:
    """Written by `o1kit schema outputs > docs/outputs.schema.json`."""
    assert (DOCS / "outputs.schema.json").read_text() == json_schema(OutputFile)
    text = (DOCS / "results.md").read_text()
    for line in (HeaderLine, ProblemLine, ChainLine, OutputLine):
        for field in line.model_fields:
            assert f"`{field}`" in text, f"docs/results.md does not explain {field}"
