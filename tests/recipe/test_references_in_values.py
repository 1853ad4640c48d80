"""`${path}` and `${env:NAME}`: what they stand for, and what cannot be followed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from o1kit.config import public
from o1kit.errors import RecipeError
from o1kit.plan import compile_recipe
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import MAX_NODES, Fault, Source, parse, show

GOOD = """\
o1kit: 1
name: good
model: {kind: hf, source: some/model}
tasks:
  train: {num_problems: 10, sources: [{kind: jsonl, path: x.jsonl}]}
  heldout: {num_problems: 5, sources: [{kind: jsonl, path: y.jsonl}]}
engine: {max_batch: 8}
stages:
  - {kind: sft, name: sft, steps: 5, batch_size: 4}
  - {kind: evaluate, name: eval, policies: [sft], searches: [{kind: greedy}], ask: [a]}
"""


def read(old: str, new: str) -> tuple[Recipe, Source]:
    assert old in GOOD
    source = parse(GOOD.replace(old, new, 1), "r.yaml")
    return recipe_from(source), source


def fails(old: str, new: str) -> str:
    with pytest.raises(RecipeError) as caught:
        read(old, new)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "get", "value"),
    [
        ("steps: 5", 'steps: "${engine.max_batch}"', lambda r: r.stages[0].steps, 8),
        ("steps: 5", 'steps: "${ stages.sft.batch_size }"', lambda r: r.stages[0].steps, 4),
        ("steps: 5", 'steps: "${stages[0].batch_size}"', lambda r: r.stages[0].steps, 4),
        ("name: good", "name: n-${engine.max_batch}-${seed}\nseed: 3", lambda r: r.name, "n-8-3"),
        ("[{kind: jsonl, path: y.jsonl}]", '"${tasks.train.sources}"',
         lambda r: r.tasks["heldout"].sources[0].path, "x.jsonl"),
        ("heldout: {num_problems: 5, sources: [{kind: jsonl, path: y.jsonl}]}", 'heldout: "${tasks.train}"',
         lambda r: r.tasks["heldout"].num_problems, 10),
        ("ask: [a]", 'ask: ["$${x}", "$$${name}", "a $ b"]', lambda r: r.stages[1].ask, ["${x}", "$${name}", "a $ b"]),
        ("steps: 5", 'steps: "${stages.sft.batch_size}"', lambda r: r.stages[0].batch_size, 4),
    ],
)  # fmt: skip
def test_what_references_stand_for(old: str, new: str, get: Any, value: Any) -> None:
    recipe, _ = read(old, new)
    assert get(recipe) == value
    again = recipe_from(parse(json.dumps(public(recipe)), "again"))
    assert get(again) == value, "what is written down reads back as the same"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("steps: 5", 'steps: "${engine.max_bach}"', "r.yaml:9:35: stages[0].steps: nothing is written in engine as"
         " 'max_bach', and defaults cannot be referred to. Did you mean 'max_batch'?"),
        ("steps: 5", 'steps: "${engine.memory_mb}"', "defaults cannot be referred to"),
        ("steps: 5", 'steps: "${stages.stf.steps}"', "nothing is written in stages as 'stf'"),
        ("steps: 5", 'steps: "${name.x}"', "name holds a single value"),
        ("steps: 5", 'steps: "${stages.sft.steps}"', "in a circle: stages[0].steps -> stages[0].steps"),
        ("name: good", "name: ${model.source}", "name: string should match pattern"),
        ("name: good", "name: x${engine}", "`${engine}` is a section, which cannot be part of a text"),
        ("name: good", "name: x${tasks.train.sources}", "is a list, which cannot be part of a text"),
        ("engine: {max_batch: 8}", 'engine: {max_batch: "${engine}"}', "in a circle"),
        ("name: good", "name: a${", "`${` has no end"),
        ("name: good", "name: ${}", "is no path"),
        ("name: good", "name: ${a..b}", "is no path"),
        ("name: good", "name: ${oc.env:HOME}", "is not known. Write `${env:NAME}` or `${path}`"),
        ("name: good", "name: ${env:O1KIT_NOT_SET}", "the environment variable O1KIT_NOT_SET is not set"),
        ("name: good", "name: '${env:1+1}'", "is not known"),
        ("name: good", "name: x${seed}\nseed: null", "is nothing, which"),
    ],
)  # fmt: skip
def test_references_that_cannot_be_followed(old: str, new: str, words: str) -> None:
    assert words in fails(old, new)


def test_a_circle_is_told_once() -> None:
    message = fails("steps: 5, batch_size: 4", 'steps: "${stages.sft.batch_size}", batch_size: "${stages.sft.steps}"')
    assert message.count("in a circle") == 1


def test_references_cannot_blow_up() -> None:
    params = ["a0: [x, x, x, x, x, x, x, x, x, x]"]
    refer = '"${tasks.train.sources[0].params.a%d}"'
    params += [f"a{i}: [" + ", ".join([refer % (i - 1)] * 10) + "]" for i in range(1, 9)]
    source = "{kind: reasoning_gym, generator: chain_sum, params: {" + ", ".join(params) + "}}"
    assert MAX_NODES < 10**8
    assert "too large" in fails("{kind: jsonl, path: x.jsonl}", source)
    words = ["b0: " + "x" * 1000]
    words += [f"b{i}: '" + f"${{tasks.train.sources[0].params.b{i - 1}}}" * 10 + "'" for i in range(1, 9)]
    text = "{kind: reasoning_gym, generator: chain_sum, params: {" + ", ".join(words) + "}}"
    assert "becomes longer than" in fails("{kind: jsonl, path: x.jsonl}", text)


def test_the_environment_gives_what_the_schema_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O1KIT_X", "12")
    recipe, source = read("steps: 5", 'steps: "${env:O1KIT_X}"')
    assert recipe.stages[0].steps == 12
    recipe, _ = read("some/model", "'${env:O1KIT_X}'")
    assert recipe.model.source == "12"
    assert source.data["stages"][0]["steps"] == "${env:O1KIT_X}"


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("steps: 5", "steps: '${env:O1KIT_X}'", "s3cret-word"),
        ("steps: 5", "steps: '${env:O1KIT_X}'", "-777123"),
        ("engine: {max_batch: 8}", "engine: {kind: http, endpoints: ['${env:O1KIT_X}']}", "s3cret-word'\\x"),
        ("engine: {max_batch: 8}", "engine: {kind: http, endpoints: ['ftp://${env:O1KIT_X}']}", "s3cret-word"),
        ("policies: [sft]", "policies: ['${env:O1KIT_X}']", "s3cret"),
        ("policies: [sft]", "policies: '${env:O1KIT_X}'", "s3cret" * 20),
        ("some/model", "x\n  dtype: '${env:O1KIT_X}'".replace("\n ", ","), "s3cret-word"),
        ("steps: 5", "steps: '${stages.sft.batch_size}', optimizer: '${env:O1KIT_X}'", "s3cret-word"),
        ("name: good", "name: 'x${env:O1KIT_X}'", "s3cret"),
        ("name: good", "name: good\nseed: '${env:O1KIT_X}'", "777123"),
        ("{kind: greedy}", "{kind: sample, num_samples: '${env:O1KIT_X}'}", "777123"),
    ],
)
def test_messages_do_not_tell_what_the_environment_holds(
    monkeypatch: pytest.MonkeyPatch, old: str, new: str, value: str
) -> None:
    monkeypatch.setenv("O1KIT_X", value)
    message = fails(old, new)
    assert "O1KIT_X" in message or "written" in message
    for part in ("s3cret", "777123"):
        assert part not in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"kind": "scratch", "tokenizer": {"kind": "char", "phrases": ["a", "x${env:O1KIT_X}"]}}}, "phrases"),
        ({"model": {"kind": "scratch", "hidden_size": "${env:O1KIT_X}"}}, "hidden_size"),
        ({"lora": {"rank": "${env:O1KIT_X}"}}, "rank"),
        ({"reading": {"by": "tokens", "good": "${env:O1KIT_X}", "bad": "-"}}, "good"),
        ({"reading": {"by": "tokens", "good": "+", "bad": "${env:O1KIT_X}", "mark": "#"}}, "bad"),
        ({"reading": {"by": "tokens", "good": "+", "bad": "-", "mark": "${env:O1KIT_X}"}}, "mark"),
        ({"reading": {"by": "tokens", "good": "+", "bad": "-", "mark": "${name}"}}, ""),
    ],
)
def test_what_stands_in_files_of_a_model_cannot_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
) -> None:
    monkeypatch.setenv("O1KIT_X", "s3cret")
    prm = {"kind": "prm", "name": "prm", "policy": "sft", "labels": {"kind": "monte_carlo"}}
    data = parse(GOOD, "r.yaml").data
    data["stages"].insert(1, prm | {k: v for k, v in changes.items() if k != "model"})
    data |= {k: v for k, v in changes.items() if k == "model"}
    source = parse(json.dumps(data), "r.yaml")
    if not words:
        assert recipe_from(source).stages[1].name == "prm"
        return
    with pytest.raises(RecipeError, match=f"`{words}` is written into files of the run") as caught:
        recipe_from(source)
    assert len(caught.value.faults) == 1 and "s3cret" not in str(caught.value)


def test_what_is_written_and_hashed_holds_names_only(monkeypatch: pytest.MonkeyPatch) -> None:
    prints = []
    for value in ("s3cret-one", "s3cret-two"):
        monkeypatch.setenv("O1KIT_X", value)
        recipe, _ = read("some/model", "'m/${env:O1KIT_X}'")
        assert recipe.model.source == f"m/{value}"
        copied = recipe.model_copy(update={"seed": 4})
        for written in (public(recipe), public(copied), {"model": public(copied.model)}):
            assert written["model"]["source"] == "m/${env:O1KIT_X}"
        prints.append([stage.fingerprint for stage in compile_recipe(recipe).stages])
    assert prints[0] == prints[1]
    plain, _ = read("some/model", "m/s3cret-one")
    assert compile_recipe(plain).stages[0].fingerprint != prints[0][0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: good", "name: $${x}", [("name", 2)]),
        ("name: good\n", "name: $${x}\nnam: 1\n", [("name", 2), ("nam", 3)]),
        ("ask: [a]", 'ask: [a], judge: sft, judge_folder: "a/$${x}"', [("stages[1]", 10)]),
        ("name: good\n", "name: ${seed}\nseed: ${nam}\n", [("name", 2)]),  # seed is as unknown, and told already
    ],
)
def test_a_fault_of_what_holds_a_literal_is_told_where_it_is(
    old: str, new: str, expected: list[tuple[str, int]]
) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_from(parse(GOOD.replace(old, new, 1), "r.yaml"))
    assert [(show(fault.path), fault.line) for fault in caught.value.faults if isinstance(fault, Fault)] == expected
