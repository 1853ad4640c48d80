"""Files of search trees: what is written is read back, what is wrong is named, and every search fits the schema."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from o1kit.cli import main
from o1kit.decoding import Decoding
from o1kit.errors import DataError
from o1kit.report.tree import (
    Origin,
    json_schema,
    line_of,
    read_chains,
    read_trees,
    render_tree,
    rows_of,
    tree_file,
    tree_record,
    write_trees,
)
from o1kit.report.tree_schema import ChainRecord, TreeRecord
from o1kit.search.tree import Node, export, tree_of
from o1kit.types import Action, Completion, Problem, SearchResult, State, Trajectory, TreeNode, Usage
from tests.search.test_searches import MODEL, PRM, SEARCHES, TEMPLATE
from tests.tiny import policy_of, problem

DOCS = Path(__file__).parents[2] / "docs"
PROBLEM = Problem("sums/7", "sums", "How many?")
ORIGIN = Origin("abc", "ppo", "train", 3, "mcts 2x2", {"kind": "mcts", "num_children": 2}, "prm", 40)
NODES = (
    TreeNode(0, None, "", 5, 0.5, 1.0, False),
    TreeNode(1, 0, "wrong way", 1, 0.1, 0.6, True, "4", token_ids=(5, 6), logprobs=(-0.5, -0.1), estimate=0.1),
    TreeNode(2, 0, "right\nway", 3, 0.8, 0.4, False, kind="rethink", unit="step", given=1, seed=2**64 - 1),
    TreeNode(3, 2, "The answer is 3", 2, 1.0, 1.0, True, "3", regret=0.25, avg_strategy=0.75),
)
RESULT = SearchResult((), ("3", None), Usage(4, 1, 30, 20), NODES, {"diversity": 0.5})


def record(**changes: Any) -> dict[str, Any]:
    made = tree_record(
        ORIGIN, PROBLEM, RESULT, NODES, key=2**63 + 1, correct={"3": True, "4": False}, outcomes={1: "error"}
    )
    return made | changes


WRITTEN: dict[str, Any] = {
    "format": 1,
    "recipe_hash": "abc",
    "problem": {"id": "sums/7", "task": "sums", "prompt": "How many?"},
    "search": {"title": "mcts 2x2", "section": {"kind": "mcts", "num_children": 2}},
    "policy": "ppo",
    "split": "train",
    "seed": 3,
    "key": 9223372036854775809,
    "sample": 0,
    "usage": {"prompt": 4, "cached": 1, "generated": 30, "scored": 20},
    "answers": ["3", None],
    "stats": {"diversity": 0.5},
    "nodes": [
        {"id": 0, "parent": None, "text": "", "visits": 5, "value": {"prm": 0.5}, "prior": 1.0, "terminal": False},
        {
            "id": 1,
            "parent": 0,
            "text": "wrong way",
            "visits": 1,
            "value": {"prm": 0.1},
            "prior": 0.6,
            "terminal": True,
            "token_ids": [5, 6],
            "logprobs": [-0.5, -0.1],
            "estimate": 0.1,
            "answer": "4",
            "correct": False,
            "outcome": "error",
            "policy_version": 40,
        },
        {
            "id": 2,
            "parent": 0,
            "text": "right\nway",
            "visits": 3,
            "value": {"prm": 0.8},
            "prior": 0.4,
            "terminal": False,
            "kind": "rethink",
            "unit": "step",
            "given": 1,
            "seed": 2**64 - 1,
        },
        {
            "id": 3,
            "parent": 2,
            "text": "The answer is 3",
            "visits": 2,
            "value": {"prm": 1.0},
            "prior": 1.0,
            "terminal": True,
            "regret": 0.25,
            "avg_strategy": 0.75,
            "answer": "3",
            "correct": True,
        },
    ],
}
"""A record as it stands in a file, written out by hand."""


def test_a_tree_says_all_that_was_known_and_nothing_else() -> None:
    assert json.loads(line_of(record())) == WRITTEN


@pytest.mark.parametrize("lines", [True, False])
def test_trees_survive_their_file(lines: bool, tmp_path: Path) -> None:
    records = [record(), record(sample=1)]
    if lines:
        (tmp_path / "trees.jsonl").write_text("".join(map(line_of, records)))
    else:
        write_trees(tmp_path, records)
    path = tree_file(tmp_path)
    assert path is not None
    back = [tree.model_dump(mode="json", exclude_unset=True) for tree in read_trees(path)]
    assert back == [json.loads(line_of(item)) for item in records]
    assert tree_file(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("{", ":2: Invalid JSON"),
        (json.dumps(record(format=2)), ":2: format 2, this version reads 1. Run the recipe again."),
        (json.dumps(record(surprise=1)), ":2: surprise: Extra inputs are not permitted. The file is damaged, or"),
        (json.dumps(record(nodes=[])), ":2: nodes: List should have at least 1 item"),
        (json.dumps(record(nodes=record()["nodes"][1:])), ":2: node 1: its parent 0 is no earlier node"),
        (json.dumps(record(nodes=record()["nodes"][::3])), ":2: node 3: its parent 2 is no earlier node"),
        (json.dumps(record(nodes=[*record()["nodes"], record()["nodes"][1]])), ":2: node 1 is there twice"),
        (json.dumps(record()).replace('"visits": 3', '"visits": "3"'), ":2: nodes[2].visits: Input should be a valid"),
        (json.dumps(record()).replace("0.25", "NaN"), ":2: nodes[3].regret: Input should be a finite number"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_its_line(change: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "trees.jsonl"
    path.write_text(line_of(record()) + change + "\n")
    with pytest.raises(DataError) as caught:
        list(read_trees(path))
    assert str(caught.value).startswith(f"{path}{words}"), str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(("content", "words"), [("[", "is not JSON"), ("{}", "holds no list"), ("[1]", "number 1: ")])
def test_a_list_of_trees_that_is_none(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "trees.json").write_text(content)
    with pytest.raises(DataError, match=words):
        list(read_trees(tmp_path / "trees.json"))
    with pytest.raises(DataError, match="cannot be read: No such file"):
        list(read_trees(tmp_path / "other.json"))


def test_numbers_that_json_does_not_have_become_null(tmp_path: Path) -> None:
    (tmp_path / "trees.jsonl").write_text(line_of(record(stats={"odd": float("nan")})))
    assert next(read_trees(tmp_path / "trees.jsonl")).stats == {"odd": None}


def test_a_tree_reads_from_the_root_down_most_visited_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trees.jsonl").write_text(line_of(record()))
    (tree,) = read_trees(tmp_path / "trees.jsonl")
    expected = [
        "   5x  v 0.50  p 1.00  (root)",
        "     3x  v 0.80  p 0.40  right way",
        "       2x  v 1.00  p 1.00  The answer is 3  => 3 (right)",
        "     1x  v 0.10  p 0.60  wrong way  => 4 (wrong)",
    ]
    assert render_tree(tree.nodes).splitlines() == expected
    assert max(map(len, render_tree(tree.nodes, width=54).splitlines())) <= 54
    assert main(["trees", str(tmp_path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "sums/7: How many?" and shown[2:6] == expected
    assert main(["trees", str(tmp_path / "trees.jsonl"), "--problem", "sums/8"]) == 4
    assert "no tree of problem 'sums/8'" in capsys.readouterr().err
    (tmp_path / "trees.jsonl").write_text("{}\n")
    assert main(["trees", str(tmp_path)]) == 4
    assert "trees.jsonl:1: recipe_hash: Field required" in capsys.readouterr().err


def test_rows_of_a_table_name_the_problem(tmp_path: Path) -> None:
    row = rows_of(TreeRecord.model_validate_json(line_of(record())))[1]
    assert row["problem"] == "How many?" and row["policy"] == "ppo" and row["value"] == 0.1
    assert row["outcome"] == "error" and row["correct"] is False


@pytest.mark.parametrize(("name", "model"), [("trees", TreeRecord), ("chains", ChainRecord)])
def test_the_schema_in_the_documentation_is_the_one_in_force(name: str, model: Any) -> None:
    """Written by `o1kit schema trees > docs/trees.schema.json`, and the same for chains."""
    assert (DOCS / f"{name}.schema.json").read_text() == json_schema(model)
    for field in _fields(json.loads(json_schema(model))):
        assert f"`{field}`" in (DOCS / "trees.md").read_text(), f"docs/trees.md does not explain {field}"


def _fields(schema: dict[str, Any]) -> set[str]:
    parts = [schema, *schema.get("$defs", {}).values()]
    return {field for part in parts for field in part["properties"]}


def chain(*texts: str, score: float = 1.0, steps: tuple[float, ...] = (), answer: str | None = None) -> Trajectory:
    ends = ["step"] * (len(texts) - 1) + ["answer"]
    actions = tuple(Action(t, Completion((len(t),), (-1.0,), e)) for t, e in zip(texts, ends, strict=True))  # type: ignore[arg-type]
    return Trajectory(State(PROBLEM, (1,), actions), answer, score, steps)


def test_chains_without_a_tree_make_one() -> None:
    """By hand: what begins alike is shared; visits count chains, priors are shares, values mean scores."""
    chains = [
        chain("a", "b", score=0.2, steps=(0.9, 0.2), answer="1"),
        chain("a", "c", score=0.4, steps=(0.9, 0.4)),
        chain("a", "b", score=0.2, steps=(0.9, 0.2), answer="1"),
        chain("d", score=1.0, steps=(1.0,)),
    ]
    found = [(n.id, n.parent, n.text, n.visits, round(n.value, 9), n.prior, n.terminal) for n in tree_of(chains)]
    assert found == [
        (0, None, "", 4, 0.45, 1.0, False),
        (1, 0, "a", 3, round(0.8 / 3, 9), 0.75, False),
        (2, 1, "b", 2, 0.2, 2 / 3, True),
        (3, 1, "c", 1, 0.4, 1 / 3, True),
        (4, 0, "d", 1, 1.0, 0.25, True),
    ]
    assert [n.estimate for n in tree_of(chains)] == [None, 0.9, 0.2, 0.4, 1.0]
    assert [n.answer for n in tree_of(chains)] == [None, None, "1", None, None]
    assert {n.estimate for n in tree_of([chain("a", "b")])} == {None}


@pytest.mark.parametrize("name", SEARCHES)
def test_every_search_fits_the_schema(name: str, tmp_path: Path) -> None:
    """The nodes hold every token that leads to each finished chain, with its log-probability."""
    policy, config = policy_of(MODEL, TEMPLATE), SEARCHES[name].config
    root = policy.start(problem("1+1=?"))
    result = asyncio.run(SEARCHES[name].run(root, policy=policy, reward=PRM, key=5))
    origin = Origin("abc", "sft", "train", 0, config.title, config.model_dump(mode="json"), config.judge or "")
    nodes = result.tree or tree_of(result.trajectories)
    (tmp_path / "trees.jsonl").write_text(line_of(tree_record(origin, root.problem, result, nodes, key=5)))
    (tree,) = read_trees(tmp_path / "trees.jsonl")
    assert tree.usage.model_dump() == asdict(result.usage)
    paths: dict[int, tuple[tuple[int, ...], tuple[float, ...], str]] = {0: ((), (), "")}
    for node in tree.nodes[1:]:
        tokens, logprobs, text = paths[node.parent or 0]
        if node.unit == "answer":  # a node of the search's own, above the chains that give the answer
            paths[node.id] = paths[0]
            continue
        more = (*tokens, *(node.token_ids or ())), (*logprobs, *(node.logprobs or ())), text + node.text
        paths[node.id] = more  # type: ignore[assignment]
        assert len(node.token_ids or ()) == len(node.logprobs or ()) > 0
        assert bool(node.value) is bool(config.judge or result.tree)
    ends = {paths[node.id] for node in tree.nodes if node.terminal}
    for trajectory in result.trajectories:
        actions = trajectory.state.actions
        tokens = tuple(t for a in actions for t in a.completion.token_ids)
        logprobs = tuple(x for a in actions for x in a.completion.logprobs)
        assert (tokens, logprobs, trajectory.state.text) in ends


def test_a_node_that_begins_anew_is_a_solution() -> None:
    """As trees of whole solutions have them: the child rewrites its parent."""
    first, second = (chain(*texts, answer="1").state for texts in (("a", "b"), ("c", "d", "e")))
    root = Node(0, State(PROBLEM, (1,)))
    parent = Node(1, first, root)
    nodes = export([root, parent, Node(2, second, parent)], {})
    assert [(node.text, node.unit) for node in nodes] == [("", ""), ("ab", "chain"), ("cde", "solution")]


def test_alternatives_and_given_text_are_in_the_tree() -> None:
    policy = policy_of(MODEL, TEMPLATE)
    root = policy.start(problem("1+1=?"))
    states = asyncio.run(policy.complete(root, 1, key=0, decoding=Decoding(alternatives=3)))
    nodes = tree_of([Trajectory(states[0], None)])
    assert all(len(node.top) == len(node.token_ids) and len(node.top[0]) == 3 for node in nodes[1:])
    given = Action("ab", Completion((1, 2), (0.0, -1.0), "answer", given=1))
    assert tree_of([Trajectory(State(PROBLEM, (1,), (given,)), None)])[1].given == 1


def test_chains_are_read_back(tmp_path: Path) -> None:
    row = {"recipe_hash": "x", "problem": "p", "task": "t", "prompt": "q", "text": "ab", "steps": ["a", "b"]}
    row |= {"answer": None, "score": 0.5, "visits": 1, "prior": 1.0, "chosen": True, "tokens": 2, "usage": {}}
    (tmp_path / "chains.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"visits": -1}) + "\n")
    chains = read_chains(tmp_path / "chains.jsonl")
    assert next(chains).steps == ["a", "b"]
    with pytest.raises(DataError, match=r"chains\.jsonl:2: visits: "):
        next(chains)
