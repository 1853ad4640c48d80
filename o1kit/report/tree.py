"""Search trees as files, as rows of a table, and as indented text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from o1kit.artifacts import finite, write_atomic
from o1kit.errors import DataError
from o1kit.report.tree_schema import FORMAT, ChainRecord, NodeRecord, TreeRecord
from o1kit.types import Problem, SearchResult, TreeNode

FILE, LINES = "trees.json", "trees.jsonl"
"""A few trees for the report, as one list; and all trees, one a line."""
CHAINS = "chains.jsonl"
MAX_BYTES = 1 << 28
"""Longest line, and largest `trees.json`, that is read."""
COLUMNS = ("id", "parent", "text", "visits", "prior", "terminal", "answer", "correct", "outcome")

Record = TypeVar("Record", TreeRecord, ChainRecord)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where trees come from; `judge` names what their values are from, and is empty where nothing judged."""

    recipe_hash: str
    policy: str
    split: str
    seed: int
    title: str
    section: Mapping[str, Any]
    judge: str = ""
    policy_version: int | None = None


def tree_record(
    origin: Origin,
    problem: Problem,
    result: SearchResult,
    nodes: Iterable[TreeNode],
    *,
    key: int,
    sample: int = 0,
    correct: Mapping[str | None, bool | None] | None = None,
    outcomes: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """One tree as plain data, fields without a meaning left out.

    Args:
        origin: where it comes from.
        problem: what was to be solved.
        result: what the search returned.
        nodes: its tree, parents first.
        key: the key it was searched with.
        sample: which of several searches of the problem it is.
        correct: answers that were judged, with the verdicts.
        outcomes: nodes that could not be judged, by number.
    """
    marks, failed = correct or {}, outcomes or {}
    # A search that grew a tree without a judge has judged by itself.
    judge = origin.judge or (str(origin.section.get("kind", "")) if result.tree else "")
    return {
        "format": FORMAT,
        "recipe_hash": origin.recipe_hash,
        "problem": {"id": problem.id, "task": problem.task, "prompt": problem.prompt},
        "search": {"title": origin.title, "section": dict(origin.section)},
        "policy": origin.policy,
        "split": origin.split,
        "seed": origin.seed,
        "key": key,
        "sample": sample,
        "usage": asdict(result.usage),
        "answers": list(result.answers),
        "stats": dict(result.stats),
        "nodes": [_node(node, judge, origin.policy_version, marks, failed.get(node.id)) for node in nodes],
    }


def _node(
    node: TreeNode, judge: str, version: int | None, marks: Mapping[str | None, bool | None], outcome: str | None
) -> dict[str, Any]:
    source = node.source or judge
    fields = {
        "kind": node.kind or None,
        "unit": node.unit or None,
        "token_ids": node.token_ids or None,
        "logprobs": node.logprobs or None,
        "top": node.top or None,
        "estimate": node.estimate if source else None,
        "regret": node.regret,
        "avg_strategy": node.avg_strategy,
        "answer": node.answer,
        "correct": marks.get(node.answer) if node.answer is not None else None,
        "outcome": outcome,
        "given": node.given or None,
        "policy_version": version if node.token_ids else None,
        "seed": node.seed,
    }
    return {
        "id": node.id,
        "parent": node.parent,
        "text": node.text,
        "visits": node.visits,
        "value": {source: node.value} if source else {},
        "prior": node.prior,
        "terminal": node.terminal,
        **{name: value for name, value in fields.items() if value is not None},
    }


def line_of(record: Mapping[str, Any]) -> str:
    """A record as one line of JSON; numbers that JSON does not have become null."""
    try:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(finite(record), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text + "\n"


def write_trees(directory: Path, trees: Sequence[Mapping[str, Any]]) -> None:
    """Writes trees to `trees.json` in a stage's folder; the runner shows them in W&B."""
    write_atomic(directory / FILE, "[\n" + ",\n".join(line_of(tree).rstrip("\n") for tree in trees) + "\n]\n")


def tree_file(directory: Path) -> Path | None:
    """The file of trees in a stage's folder, if it has one."""
    return next((directory / name for name in (LINES, FILE) if (directory / name).is_file()), None)


def read_trees(path: Path) -> Iterator[TreeRecord]:
    """The trees of a file, one after the other: `trees.json` holds a list, `trees.jsonl` one a line.

    Raises:
        DataError: the file is missing or damaged, or of another format.
    """
    return _read(path, TreeRecord)


def read_chains(path: Path) -> Iterator[ChainRecord]:
    """The chains of a `chains.jsonl`, one after the other.

    Raises:
        DataError: the file is missing or damaged, or of another format.
    """
    return _read(path, ChainRecord)


def _read(path: Path, model: type[Record]) -> Iterator[Record]:
    try:
        for place, text in _texts(path):
            yield _parsed(model, text, place)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Run the stage that writes it.") from error


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Each record's JSON with its place: `file:line`, or its number within a list."""
    if path.suffix == ".json":
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: more than {MAX_BYTES >> 20} MiB. Write the trees one a line ({LINES}).")
        try:
            items = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: is not JSON: {error}. Run the stage that writes it again.") from error
        if not isinstance(items, list):
            raise DataError(f"{path}: holds no list of trees. Run the stage that writes it again.")
        yield from ((f"{path}: number {i}", json.dumps(item).encode()) for i, item in enumerate(items, 1))
        return
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_BYTES + 1):
            number += 1
            if len(line) > MAX_BYTES:
                raise DataError(f"{path}:{number}: the line has more than {MAX_BYTES >> 20} MiB.")
            yield f"{path}:{number}", line


def _parsed(model: type[Record], text: bytes, place: str) -> Record:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        found = error.errors()[0]
        where = _path(found["loc"])
        if found["loc"] == ("format",):
            raise DataError(
                f"{place}: format {found['input']!r}, this version reads {FORMAT}. Run the recipe again."
            ) from error
        raise DataError(
            f"{place}: {where}{found['msg'].removeprefix('Value error, ')}. The file is damaged, or another program "
            "wrote it: see docs/trees.md, or run the stage that writes it again."
        ) from error


def _path(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    return f"{text}: " if text else ""


def rows_of(tree: TreeRecord) -> list[dict[str, Any]]:
    """The nodes of a tree as rows of a table, each with what the tree belongs to."""
    shared = {
        "policy": tree.policy,
        "split": tree.split,
        "problem": tree.problem.prompt,
        "search": tree.search.title,
    }
    return [
        {**shared, **{name: getattr(node, name) for name in COLUMNS}, "value": value_of(node)} for node in tree.nodes
    ]


def value_of(node: NodeRecord) -> float | None:
    """The value of a node whatever it comes from; None where nothing judged."""
    return next(iter(node.value.values()), None)


def render_tree(nodes: Sequence[NodeRecord], *, width: int = 100) -> str:
    """A tree as indented text, children by visits: `visits  value  prior  text`; terminal nodes show the answer."""
    children: dict[int | None, list[NodeRecord]] = {}
    for node in nodes:
        children.setdefault(node.parent, []).append(node)
    lines: list[str] = []
    pending = [(node, 0) for node in _ordered(children.get(None, ()))[::-1]]
    while pending:
        node, depth = pending.pop()
        lines.append(_line(node, depth, width))
        pending.extend((child, depth + 1) for child in _ordered(children.get(node.id, ()))[::-1])
    return "\n".join(lines)


def _ordered(nodes: Iterable[NodeRecord]) -> list[NodeRecord]:
    return sorted(nodes, key=lambda node: -node.visits)


def _line(node: NodeRecord, depth: int, width: int) -> str:
    text = " ".join(node.text.split()) or "(root)"
    end = f"  => {node.answer}" if node.terminal else ""
    end += {True: " (right)", False: " (wrong)", None: ""}[node.correct]
    value = value_of(node)
    judged = f"v {value:.2f}  " if value is not None else ""
    head = f"{'  ' * depth}{node.visits:>4}x  {judged}p {node.prior:.2f}  "
    room = max(width - len(head) - len(end), 10)
    return head + (text if len(text) <= room else text[: room - 1] + "…") + end


def json_schema(model: type[BaseModel]) -> str:
    """A record's fields as JSON Schema, with their documentation."""
    return json.dumps(model.model_json_schema(), indent=2) + "\n"
