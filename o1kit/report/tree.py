"""Search trees as files and as indented text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from o1kit.artifacts import write_json
from o1kit.types import TreeNode

FILE = "trees.json"


def tree_record(problem: str, search: str, nodes: Iterable[TreeNode]) -> dict[str, Any]:
    """One tree as plain data: the problem's text, the search's name and the nodes."""
    return {"problem": problem, "search": search, "nodes": [asdict(node) for node in nodes]}


def write_trees(directory: Path, trees: Sequence[Mapping[str, Any]]) -> None:
    """Writes trees to `trees.json` in a stage's folder; the runner shows them in W&B."""
    write_json(directory / FILE, list(trees))


def read_trees(directory: Path) -> list[dict[str, Any]]:
    """The trees of a stage's folder; none if it has no such file."""
    path = directory / FILE
    if not path.is_file():
        return []
    trees: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return trees


def render_tree(nodes: Sequence[Mapping[str, Any]], *, width: int = 100) -> str:
    """A tree as indented text, children by visits: `visits  value  prior  text`; terminal nodes show the answer.

    A node is `{id, parent, text, visits, value, prior, terminal, answer}`; a root's parent is None.
    """
    children: dict[Any, list[Mapping[str, Any]]] = {}
    for node in nodes:
        children.setdefault(node["parent"], []).append(node)
    lines: list[str] = []
    pending = [(node, 0) for node in _ordered(children.get(None, ()))[::-1]]
    while pending:
        node, depth = pending.pop()
        lines.append(_line(node, depth, width))
        pending.extend((child, depth + 1) for child in _ordered(children.get(node["id"], ()))[::-1])
    return "\n".join(lines)


def _ordered(nodes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(nodes, key=lambda node: -node["visits"])


def _line(node: Mapping[str, Any], depth: int, width: int) -> str:
    text = " ".join(str(node["text"]).split()) or "(root)"
    end = f"  => {node.get('answer')}" if node.get("terminal") else ""
    head = f"{'  ' * depth}{node['visits']:>4}x  v {node['value']:.2f}  p {node['prior']:.2f}  "
    room = max(width - len(head) - len(end), 10)
    return head + (text if len(text) <= room else text[: room - 1] + "…") + end
