"""What stages have learned from, beside the split `train`: files, other splits, and what a recipe names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from o1kit.control.learned import learned_texts
from o1kit.errors import DataError
from o1kit.protocols import StageInputs
from o1kit.recipe.schema import Recipe
from o1kit.report.details import summary_lines
from o1kit.report.results import Results
from o1kit.stages.evaluate.overlaps import overlaps
from o1kit.stages.evaluate.seen import read_texts, seen_by, write_texts
from o1kit.stages.start import suite_of
from tests.small import RECIPE

SIZE = 6
MADE_FROM = {
    "sft": [],
    "more": ["sft"],
    "roll": ["more"],
    "dpo": ["more"],
    "prm": ["sft"],
    "unused": ["sft"],
    "evaluate": ["dpo", "prm", "roll"],
}


def question(split: str, i: int) -> str:
    return f"Problem {i} of {split}: how many?"


@pytest.fixture
def inputs(tmp_path: Path) -> StageInputs:
    """A policy trained on pairs of held-out problem 1, a judge on labels of 2, and `known.jsonl` with 3."""
    for split in ("train", "extra", "heldout"):
        rows = [{"question": question(split, i), "answer": "1"} for i in range(SIZE)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pair = {"problem": "p", "prompt": question("heldout", 1), "chosen": ["a"], "rejected": ["b"]}
    label = {"problem": "p", "prompt": question("heldout", 2), "steps": ["a"], "labels": [1.0]}
    for name, row in (("pairs", pair), ("labels", label), ("others", label | {"prompt": question("heldout", 4)})):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row | {"provenance": {"source": "x"}}))
    write_texts(tmp_path / "known.jsonl", [question("heldout", 3)])
    labels = {"kind": "file", "path": "labels.jsonl", "format": "o1kit"}
    evaluate = {"kind": "evaluate", "name": "evaluate", "policies": ["dpo"], "judge": "prm"}
    stages: list[dict[str, Any]] = [
        RECIPE["stages"][0],
        {"kind": "rollout", "name": "roll", "policy": "sft", "split": "extra", "num_problems": 2},
        {"kind": "dpo", "name": "dpo", "policy": "sft", "pairs": {"kind": "file", "path": "pairs.jsonl"}},
        {"kind": "prm", "name": "prm", "policy": "sft", "labels": labels},
        {"kind": "prm", "name": "unused", "policy": "sft", "labels": labels | {"path": "others.jsonl"}},
        evaluate | {"searches": [{"kind": "greedy"}], "splits": ["heldout", "train"]},
    ]
    stages[1]["search"] = {"kind": "greedy"}
    tasks = {
        name: {"num_problems": SIZE, "sources": [{"kind": "jsonl", "path": f"{name}.jsonl"}]}
        for name in ("train", "extra", "heldout")
    }
    recipe = Recipe.model_validate(RECIPE | {"stages": stages, "tasks": tasks})
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    return StageInputs(recipe.stages[-1], recipe, tmp_path, tmp_path, {}, 0, "", MADE_FROM | {"dpo": ["roll"]})


def with_overlap(inputs: StageInputs, **section: Any) -> StageInputs:
    config = type(inputs.config).model_validate(inputs.config.model_dump() | {"overlap": section})
    return StageInputs(config, inputs.recipe, inputs.recipe_directory, inputs.directory, {}, 0, "", inputs.made_from)


def test_what_was_read_and_sampled_is_compared_too(inputs: StageInputs) -> None:
    inputs = with_overlap(inputs, known="known.jsonl")
    suite = suite_of(inputs)
    seen = seen_by(inputs, suite)
    assert {name: len(texts) for name, texts in seen.items()} == {
        "train": SIZE,
        "extra": 2,
        "the file of dpo": 1,
        "the file of prm": 1,
        "the file known.jsonl": 1,
    }
    heldout, train = overlaps(suite, inputs.config.splits, inputs.config.overlap, seen)
    assert (heldout.exact, heldout.n, train.exact) == (3, SIZE, SIZE), "of the split that was learned from, all"
    assert heldout.against == "train, extra, the file of dpo, the file of prm, the file known.jsonl"
    assert train.against == heldout.against
    (told,) = summary_lines(Results("r", (), overlaps=(heldout, train)))
    assert [part.split(" (")[0] for part in told.partition(": ")[2].split("; ")] == ["heldout 3 of 6", "train 6 of 6"]


def test_a_file_that_is_gone_is_an_error_with_a_remedy(inputs: StageInputs) -> None:
    (inputs.recipe_directory / "pairs.jsonl").unlink()
    with pytest.raises(DataError, match=r"cannot be read.*Put it back, or leave the comparison out"):
        seen_by(inputs, suite_of(inputs))


@pytest.mark.parametrize("text", ["{", "[]", '{"prompt": 1}'])
def test_known_problems_are_lines_with_a_prompt(text: str, tmp_path: Path) -> None:
    (tmp_path / "known.jsonl").write_text(text)
    with pytest.raises(DataError, match="Write one JSON object a line"):
        read_texts(tmp_path / "known.jsonl")


def test_a_checkpoint_has_learned_what_its_recipe_says(inputs: StageInputs, tmp_path: Path) -> None:
    train = [question("train", i) for i in range(SIZE)]
    assert sorted(learned_texts(tmp_path / "sft") or ()) == train
    assert sorted(learned_texts(tmp_path / "dpo") or ()) == sorted([*train, question("heldout", 1)])
    assert learned_texts(tmp_path / "none") is None
    assert learned_texts(tmp_path / "elsewhere" / "sft") is None
