"""Recipes that are composed from a command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from o1kit.errors import DataError, RecipeError
from o1kit.recipe.compose import NUM_PROBLEMS, Wanted, compose, search, text_of
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.source import parse
from tests.recipe.test_loader import GOOD


def composed(*tasks: str, **more: Any) -> dict[str, Any]:
    return compose(Wanted("some/model", tasks, **more))


def lines(path: Path, *questions: str, **more: Any) -> str:
    path.write_text("\n".join(json.dumps({"question": q, "answer": "1"} | more) for q in questions))
    return str(path)


def test_splits_of_a_recipe_keep_the_names_of_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O1KIT_DATA", "zq7folder")
    monkeypatch.setenv("O1KIT_COUNT", "7")
    path = tmp_path / "r.yaml"
    text = GOOD.replace("path: y.jsonl", "path: '${env:O1KIT_DATA}/y.jsonl'")
    path.write_text(text.replace("num_problems: 5", "num_problems: '${env:O1KIT_COUNT}'"))
    heldout = composed(f"{path}:heldout")["tasks"]["heldout"]
    assert heldout["sources"] == [{"kind": "jsonl", "path": f"{tmp_path}/${{env:O1KIT_DATA}}/y.jsonl"}]
    assert heldout["num_problems"] == "${env:O1KIT_COUNT}"
    assert composed(f"{path}:heldout", num_problems=9)["tasks"]["heldout"]["num_problems"] == 7
    recipe = recipe_from(parse(text_of(composed(f"{path}:heldout")), "o1kit eval"))
    assert recipe.tasks["heldout"].sources[0].path == f"{tmp_path}/zq7folder/y.jsonl"


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("greedy", {"kind": "greedy"}),
        ("sample:8", {"kind": "sample", "num_samples": 8}),
        ("best_of_n:16", {"kind": "best_of_n", "num_samples": 16}),
        ("mcts:4", {"kind": "mcts", "num_simulations": 4}),
        ("beam:2", {"kind": "beam", "num_beams": 2}),
        (
            "best_of_n:num_samples=4,select=majority,adaptive.kind=certain,adaptive.batch=2,temperature=0.7",
            {
                "kind": "best_of_n",
                "num_samples": 4,
                "select": "majority",
                "adaptive": {"kind": "certain", "batch": 2},
                "temperature": 0.7,
            },
        ),
        (
            "best_of_n:diversity.temperatures=[0.5, 1.0],num_samples=4,token_budget=",
            {"kind": "best_of_n", "diversity": {"temperatures": [0.5, 1.0]}, "num_samples": 4, "token_budget": None},
        ),
    ],
)
def test_a_search_is_written_in_words(text: str, section: dict[str, Any]) -> None:
    assert search(text) == section
    recipe = composed("chain_sum", searches=[text], judge=".")
    assert recipe_from(parse(text_of(recipe), "")).stages[0].searches[0].kind == section["kind"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("greedy:3", "a lone number is known for sample:N"),
        ("sample:num_samples", "not KEY=VALUE"),
        ("sample:=3", "not KEY=VALUE"),
        ("sample:a=[1", "not KEY=VALUE"),
        ("sample:a=1,a.b=2", "holds a value"),
    ],
)
def test_other_words_are_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        search(text)


def test_what_is_wrong_in_a_section_is_said_by_the_recipe() -> None:
    with pytest.raises(RecipeError, match=r"stages\[0\].searches\[0\].num_sample.*Did you mean 'num_samples'"):
        recipe_from(parse(text_of(composed("chain_sum", searches=["sample:num_sample=3"])), "o1kit eval"))


def test_a_file_of_problems(tmp_path: Path) -> None:
    path = lines(tmp_path / "sums.jsonl", "a?", "b?", "b?")
    source = {"kind": "jsonl", "path": path}
    assert composed(path)["tasks"] == {"sums": {"num_problems": 2, "sources": [source]}}, "repeats count once"
    assert composed(path, num_problems=1)["tasks"]["sums"]["num_problems"] == 1
    other = lines(tmp_path / "train.jsonl", "a?", q="c?", a=3)
    found = composed(f"{other}:question_field=q,answer_field=a")
    assert found["tasks"]["problems"]["sources"][0]["question_field"] == "q"
    assert found["stages"][0]["splits"] == ["problems"]
    with pytest.raises(DataError, match="cannot be read"):
        composed(str(tmp_path / "none.jsonl"))


def test_a_generator() -> None:
    found = composed("chain_sum:min_terms=2,max_terms=3")["tasks"]["chain_sum"]
    assert found["num_problems"] == NUM_PROBLEMS
    assert found["sources"][0]["params"] == {"min_terms": 2, "max_terms": 3}


def test_the_splits_of_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    found = composed(str(path), num_problems=3)
    assert "train" in found["tasks"] and "train" not in found["stages"][0]["splits"], (
        "it is what others are held against"
    )
    assert composed(f"{path}:train")["stages"][0]["splits"] == ["train"]
    assert all(found["tasks"][name]["num_problems"] <= 3 for name in found["stages"][0]["splits"])
    assert composed(f"{path}:train", num_problems=3)["tasks"]["train"]["num_problems"] == 3
    with pytest.raises(RecipeError, match="would leave out training problems"):
        composed(f"{path}:train,heldout", num_problems=3)
    with pytest.raises(RecipeError, match="has no split 'none'"):
        composed(f"{path}:none")


def test_names_must_differ(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    first, second = lines(tmp_path / "s.jsonl", "a?"), lines(tmp_path / "b/s.jsonl", "b?")
    with pytest.raises(RecipeError, match="already a split 's'"):
        composed(first, second)
    assert composed(first, first)["stages"][0]["splits"] == ["s"]


def test_every_word_reaches_the_recipe(tmp_path: Path) -> None:
    plain = composed("chain_sum")
    for name, value in {
        "searches": ["sample:2"],
        "num_problems": 3,
        "judge": str(tmp_path),
        "seeds": 2,
        "seed": 7,
        "engine": ["max_batch=3"],
        "name": "other",
        "known": tmp_path / "known.jsonl",
    }.items():
        assert composed("chain_sum", **{name: value}) != plain, name
    assert compose(Wanted(str(tmp_path), ["chain_sum"]))["model"]["source"] == str(tmp_path)
    assert plain["model"]["source"] == "some/model", "a hub id stays as it is"


@pytest.mark.parametrize("value", ["a: b", "1e-5", "on", "null", "#x", "é\n\t'\"", "12", ""])
def test_yaml_reads_back_as_it_was(value: str) -> None:
    recipe = composed("chain_sum") | {"name": value}
    assert parse(text_of(recipe), "").data == recipe
