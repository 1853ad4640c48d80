"""Values and pairs from search trees and labelled chains: by hand, by brute force, and through the stages."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from o1kit.artifacts import digest, write_done
from o1kit.errors import DataError
from o1kit.functional.rest_values import tree_step_values
from o1kit.models.load import save_directory
from o1kit.report.label_schema import LabelRecord, PairRecord, Provenance
from o1kit.report.labels import read_labels, read_pairs, write_records
from o1kit.report.tree_schema import NodeRecord, ProblemRecord, SearchRecord, TreeRecord, UsageRecord
from o1kit.rewards.verifier import Verifier
from o1kit.stages.labels.tree import provenance_of, reach, rest, tree_labels, tree_of
from o1kit.stages.pairs.config import OutcomePairsConfig, StepPairsConfig, TreePairsConfig
from o1kit.stages.pairs.pairs import outcome_pairs, step_pairs, tree_pairs
from o1kit.types import Score, State
from tests.small import built, small
from tests.tiny import tiny

_, TEMPLATE = tiny()


def tree(*rows: tuple[int | None, str, Any, float], **fields: Any) -> TreeRecord:
    """A tree from rows of parent, text, verdict (None: unfinished; "no": finished without an answer) and prior."""
    nodes = []
    for i, (parent, text, correct, prior) in enumerate(rows):
        answered = correct in (True, False)
        nodes.append(
            NodeRecord(
                id=i,
                parent=parent,
                text=text,
                visits=1,
                value={},
                prior=prior,
                terminal=correct is not None,
                unit="step" if parent is not None else None,
                token_ids=TEMPLATE.encode(text) if parent is not None else None,
                answer="4" if answered else None,
                correct=correct if answered else None,
            )
        )
    return TreeRecord(
        recipe_hash="r",
        problem=ProblemRecord(id="p", task="t", prompt="2+2=?"),
        search=SearchRecord(title="t", section={"kind": "mcts", "temperature": 0.5}),
        policy="sft",
        split="train",
        seed=3,
        key=4,
        usage=UsageRecord(),
        answers=[],
        nodes=nodes,
        **fields,
    )


TREE = tree(
    (None, "", None, 1.0),
    (0, "a\n", None, 0.5),
    (0, "b\n", None, 0.3),
    (0, "c\n", None, 0.2),
    (1, "d\n", None, 0.25),
    (1, "e", False, 0.75),
    (4, "f", True, 0.5),
    (4, "g", "no", 0.5),
    (2, "h", False, 1.0),
)
"""a: d then f (right) or g (no answer), or e (wrong); b: h (wrong); c was never finished."""


def test_values_by_hand() -> None:
    """Right end after 3 steps. V: a 1/3, d 2/3, f 1; wrong ones lose (1 - V_parent) / steps left of the right way.

    e inherits a's 3 steps left: 1/3 - (2/3)/3; g inherits d's 2: 2/3 - (1/3)/2; b and h fall below 0. P: d (1 + 0)/2,
    a 0.25 * 0.5 + 0.75 * 0, the root (0.5 * 0.125 + 0.3 * 0) / 0.8.
    """
    found = tree_of(TREE)
    assert found.correct == [None, None, None, None, None, False, True, False, False]
    assert rest(found)[3] is None, "an open end is not a wrong one"
    assert [v for v in rest(found) if v is not None] == pytest.approx([0, 1 / 3, 0, 2 / 3, 1 / 9, 1, 1 / 2, 0])
    assert reach(found)[3] is None
    known = [v for v in reach(found) if v is not None]
    assert known == pytest.approx([0.0625 / 0.8, 0.125, 0, 0.5, 0, 1, 0, 0])


@pytest.mark.parametrize("seed", range(10))
def test_values_of_random_trees(seed: int) -> None:
    """Against the formula's own function, and against drawing chains by the priors."""
    draw = random.Random(seed)
    size = draw.randint(3, 15)
    parents = [0, *(draw.randrange(i) for i in range(1, size))]
    leaves = set(range(1, size + 1)) - set(parents)
    rows: list[Any] = [(None, "", None, 1.0)]
    for i, parent in enumerate(parents, 1):
        rows.append((parent, f"{i}\n", draw.random() < 0.4 if i in leaves else None, draw.random() + 0.1))
    found = tree_of(tree(*rows))
    expected = tree_step_values([None, *parents], [row[2] is True for row in rows])
    assert rest(found) == expected

    def chance(node: int) -> float:
        below = [c for c, p in enumerate(parents, 1) if p == node]
        total = sum(rows[c][3] for c in below)
        return sum(rows[c][3] / total * chance(c) for c in below) if below else float(rows[node][2])

    assert reach(found) == pytest.approx([chance(i) for i in range(size + 1)])


def test_records_of_a_tree() -> None:
    made = provenance_of(TREE, "tree", "rest", "print")
    records = tree_labels(TREE, "rest", TEMPLATE, made)
    third = pytest.approx
    assert [(r.steps, r.correct) for r in records] == [
        (["c\n"], None),
        (["a\n", "e"], False),
        (["a\n", "d\n", "f"], True),
        (["a\n", "d\n", "g"], False),
        (["b\n", "h"], False),
    ]
    labels = [r.labels for r in records]
    assert labels[0] == [None] and labels[1] == third([1 / 3, 1 / 9])
    assert labels[2] == [None, third(2 / 3), 1.0] and labels[3] == [None, None, third(0.5)], "each step once"
    assert made == Provenance(source="tree", policy="print", temperature=0.5, estimate="rest", seed=3)
    for r in records:
        assert [TEMPLATE.decode(ids) for ids in r.step_ids] == r.steps and r.prompt_ids == TEMPLATE.encode("2+2=?\n")
    unique = {tuple(r.steps[: k + 1]): ids for r in records for k, ids in enumerate(r.step_ids)}
    assert sum(r.tokens for r in records) == sum(map(len, unique.values()))


def test_a_node_of_several_steps_is_labelled_at_its_end() -> None:
    records = tree_labels(
        tree((None, "", None, 1.0), (0, "1\n2\n3", True, 1.0)), "reach", TEMPLATE, Provenance(source="x")
    )
    assert [(r.steps, r.labels) for r in records] == [(["1\n", "2\n", "3"], [None, None, 1.0])]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unit": "solution"}, "whole solutions"),
        ({"correct": None}, "not verified"),
        ({"token_ids": None}, "no tokens"),
        ({"parent": None}, "several roots"),
    ],
)
def test_trees_that_say_nothing_about_steps_are_refused(change: dict[str, Any], words: str) -> None:
    nodes = [*TREE.nodes[:-1], TREE.nodes[-1].model_copy(update=change)]
    with pytest.raises(DataError, match=words):
        tree_labels(TREE.model_copy(update={"nodes": nodes}), "rest", TEMPLATE, Provenance(source="x"))


# ---- pairs -------------------------------------------------------------------------------------------------------


def pairs_of(**options: Any) -> list[tuple[list[str], list[str], int]]:
    config = TreePairsConfig(kind="tree", of="r", **options)
    found = tree_pairs(TREE, config, TEMPLATE, Provenance(source="tree"))
    for pair in found:
        for ids, steps in ((pair.chosen_ids, pair.chosen), (pair.rejected_ids, pair.rejected)):
            assert TEMPLATE.decode(ids) == "".join(steps)
    return [(p.chosen, p.rejected, p.shared) for p in found]


def test_pairs_of_a_tree_share_what_leads_to_the_difference() -> None:
    low = (["a\n", "d\n", "f"], ["a\n", "d\n", "g"], 2)
    middle = (["a\n", "d\n", "f"], ["a\n", "e"], 1)
    high = (["a\n", "d\n", "f"], ["b\n", "h"], 0)
    assert pairs_of() == [low, middle], "differences 1 and 1/2"
    assert pairs_of(min_gap=0.1) == [low, middle, high]
    assert pairs_of(min_gap=0.6) == [low]
    assert pairs_of(max_pairs=1) == [low]
    assert pairs_of(until="step") == [low, (["a\n", "d\n"], ["a\n", "e"], 1)]
    assert pairs_of(estimate="rest") == [middle, low, high], "differences 5/9, 1/2 and 1/3"


def record(name: str, steps: list[str], labels: list[float | None], correct: bool | None) -> LabelRecord:
    ids = [[ord(c) for c in step] for step in steps]
    made = Provenance(source="monte_carlo", policy="print", completions=4)
    return LabelRecord(
        problem=name,
        prompt="q",
        steps=steps,
        labels=labels,
        correct=correct,
        prompt_ids=[1],
        step_ids=ids,
        provenance=made,
    )


RECORDS = [
    record("p", ["a\n", "x"], [0.8, 1.0], True),
    record("p", ["a\n", "y"], [0.8, 0.0], False),
    record("p", ["b\n", "y"], [0.1, 0.0], False),
    record("p", ["c\n", "z"], [0.2, 1.0], True),
    record("p", ["a\n", "x"], [None, 1.0], True),
    record("p", ["d\n"], [0.9], None),
    record("q", ["a\n", "x"], [1.0, 1.0], True),
]


def test_right_chains_against_wrong_ones() -> None:
    def made(**options: Any) -> list[PairRecord]:
        return list(outcome_pairs(RECORDS, OutcomePairsConfig(kind="outcomes", of="l", **options)))

    found = [("".join(p.chosen), "".join(p.rejected), p.shared) for p in made()]
    assert found == [("a\nx", "b\ny", 0), ("a\nx", "a\ny", 1), ("c\nz", "b\ny", 0), ("c\nz", "a\ny", 0)]
    assert [("".join(p.chosen), "".join(p.rejected)) for p in made(best=1, worst=1)] == [("a\nx", "b\ny")]
    pair = made()[1]
    assert pair.chosen_ids == [97, 10, 120] and pair.rejected_ids == [97, 10, 121] and pair.prompt_ids == [1]
    assert pair.shared_tokens == 2 and made()[0].shared_tokens == 0
    assert pair.provenance == Provenance(source="outcomes/monte_carlo", policy="print", completions=4)


def test_good_steps_against_bad_ones() -> None:
    def made(**options: Any) -> list[tuple[str, str, int]]:
        found = step_pairs(RECORDS, StepPairsConfig(kind="steps", of="l", **options))
        return [("".join(p.chosen), "".join(p.rejected), p.shared) for p in found]

    first = [("d\n", "b\n", 0), ("a\n", "b\n", 0), ("d\n", "c\n", 0), ("a\n", "c\n", 0)]
    assert made() == [*first, ("a\nx", "a\ny", 1)]
    assert made(max_pairs=2) == [*first[:2], ("a\nx", "a\ny", 1)]
    assert made(threshold=0.15)[:3] == [("d\n", "b\n", 0), ("a\n", "b\n", 0), ("c\n", "b\n", 0)]


# ---- stages ------------------------------------------------------------------------------------------------------


def run(name: str, folder: Path, stages: list[Any], artifacts: dict[str, Path]) -> Any:
    """Runs one stage of a recipe and exports it."""
    from o1kit import registry

    made = built(small(stages=stages), name, folder, artifacts)
    options: Any = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    L.Trainer(accelerator="cpu", **options).test(made.module, datamodule=made.data, verbose=False)
    kind = next(stage["kind"] for stage in stages if stage["name"] == name)
    return registry.lookup("stages", kind)().export(made, folder)


def test_trees_of_a_rollout_become_labels_and_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the real stages; every other answer is right, whatever the model writes."""
    model, template = tiny(context=160)
    save_directory(model, template.tokenizer, tmp_path / "sft")

    def judge(self: Verifier, pairs: Any) -> list[Score]:
        return [Score(float(i % 2), "planted", True, "right" if i % 2 else "wrong") for i in range(len(pairs))]

    def answer(self: Any, state: State) -> str:
        return str(sum(state.token_ids))

    monkeypatch.setattr(Verifier, "score_answers", judge)
    monkeypatch.setattr("o1kit.engines.policy.LanguagePolicy.answer", answer)
    search = {"kind": "sample", "num_samples": 6}
    rollout = {"kind": "rollout", "name": "roll", "policy": "sft", "num_problems": 3, "search": search}
    labels = {"kind": "labels", "name": "tree", "policy": "sft", "source": {"kind": "tree", "of": "roll"}}
    sources: dict[str, Any] = {
        "one": {"kind": "tree", "of": "roll", "min_gap": 0.1},
        "two": {"kind": "outcomes", "of": "roll"},
    }
    pairs = [{"kind": "pairs", "name": n, "policy": "sft", "source": s} for n, s in sources.items()]
    step = {"kind": "pairs", "name": "three", "source": {"kind": "steps", "of": "tree"}}
    both = [rollout, labels, labels | {"name": "far", "source": labels["source"] | {"estimate": "reach"}}, *pairs, step]
    folders = {"sft": tmp_path / "sft", "roll": tmp_path / "roll", "tree": tmp_path / "tree"}
    make = partial(run, stages=both, artifacts=folders)
    make("roll", tmp_path / "roll")
    summary = make("tree", tmp_path / "tree")
    found = list(read_labels(tmp_path / "tree" / "labels.jsonl"))
    assert summary["records"] == len(found) and summary["tokens_generated"] == 0 and 0 < summary["positive"] < 1
    assert {r.correct for r in found} == {True, False}
    make("far", tmp_path / "far")
    assert [r.labels for r in read_labels(tmp_path / "far" / "labels.jsonl")] != [r.labels for r in found]
    for name, kind in (("one", "tree/rollout"), ("two", "outcomes/rollout"), ("three", "steps/tree")):
        summary = make(name, tmp_path / name)
        made = list(read_pairs(tmp_path / name / "pairs.jsonl"))
        assert summary["pairs"] == len(made) > 0
        assert {p.provenance.source for p in made} == {kind} and {p.provenance.policy for p in made} == {"x"}
        assert all(p.chosen_ids != p.rejected_ids and p.prompt_ids for p in made)
        digests = [write_done(tmp_path / name, name, "pairs", "x") and digest(tmp_path / name)]
        (tmp_path / name / "pairs.jsonl").write_text("changed")
        write_done(tmp_path / name, name, "pairs", "x")
        assert digest(tmp_path / name) != digests[0], "stages built on pairs notice other ones"


def test_no_pair_and_no_label_at_all_are_errors(tmp_path: Path) -> None:
    write_records(tmp_path / "l" / "labels.jsonl", RECORDS[-1:])
    write_records(tmp_path / "m" / "labels.jsonl", [record("z", ["a"], [1.0], True)])
    stages = [
        {"kind": "pairs", "name": "pairs", "source": {"kind": "outcomes", "of": "l"}},
        {"kind": "labels", "name": "both", "source": {"kind": "consensus", "of": ["l", "m"]}},
    ]
    folders = {name: tmp_path / name for name in "lm"}
    with pytest.raises(DataError, match="no pair was found"):
        run("pairs", tmp_path / "pairs", stages, folders)
    with pytest.raises(DataError, match="share no labelled step"):
        run("both", tmp_path / "both", stages, folders)
