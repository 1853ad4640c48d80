"""Recipes that come with o1kit: found, described, copied with their data, and a small one to start from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from o1kit.cli import main
from o1kit.errors import EnvironmentFailure, RecipeError
from o1kit.explain.editor import recipe_schema
from o1kit.plan import compile_recipe
from o1kit.recipe.loader import load_recipe
from o1kit.sharing.copying import START, copy
from o1kit.sharing.shipped import FIELDS, find, folder, header_of, shipped

HERE = Path(__file__).parents[2] / "recipes"


def test_every_shipped_recipe_says_what_it_is() -> None:
    assert folder() == HERE
    found = {recipe.name: recipe for recipe in shipped()}
    assert {"quickstart", "rewards"} <= set(found)
    assert all({*FIELDS} - {*recipe.header} <= {"Before"} for recipe in found.values())
    assert found["quickstart"].header["What"].endswith("each measured on problems never trained on.")


def test_a_header_ends_where_the_recipe_begins() -> None:
    text = "# other: x\n# What: one\n#   two\n# more\n#   three\n# Run: a\no1kit: 1\n# Expect: no\n"
    assert header_of(text) == {"What": "one two", "Run": "a"}


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'quickstart'"):
        find("quikstart")
    assert find("recipes/quickstart.yaml") == find("quickstart")


@pytest.mark.parametrize("name", [recipe.name for recipe in shipped()])
def test_a_copy_is_valid_and_computes_the_same(name: str, tmp_path: Path) -> None:
    written = copy(find(name), tmp_path / "deep" / "mine.yaml")
    mine, original = load_recipe(tmp_path / "deep/mine.yaml"), load_recipe(find(name).path)
    assert (mine.name, original.name) == ("mine", name)
    prints = [[stage.fingerprint for stage in compile_recipe(recipe).stages] for recipe in (mine, original)]
    assert prints[0] == prints[1]
    assert set(written) == {path for path in tmp_path.rglob("*") if path.is_file()}
    if name == "quickstart":
        data = tmp_path / "deep/data/doubled_letters.jsonl"
        assert data.read_bytes() == (HERE / "data/doubled_letters.jsonl").read_bytes()
    text = (tmp_path / "deep/mine.yaml").read_text()
    schema, copied = text.splitlines()[:2]
    assert copied.startswith(f"# Copied from recipes/{name}.yaml of o1kit ") and text.count("$schema") == 1
    assert schema == "# yaml-language-server: $schema=recipe.schema.json"
    assert (tmp_path / "deep/recipe.schema.json").read_text() == recipe_schema()
    assert f"# Run: o1kit run {tmp_path}/deep/mine.yaml\n" in text


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    data = tmp_path / "data/doubled_letters.jsonl"
    data.parent.mkdir()
    data.write_text("mine\n")
    with pytest.raises(EnvironmentFailure, match="is there already"):
        copy(find("quickstart"), tmp_path / "a.yaml")
    assert data.read_text() == "mine\n" and not (tmp_path / "a.yaml").exists()
    copy(find("quickstart"), tmp_path / "a.yaml", force=True)
    assert data.read_text() != "mine\n"
    copy(find("rewards"), tmp_path / "b.yaml")  # the same data are there: nothing to overwrite


@pytest.mark.parametrize("name", ["", "a b", "../a", ".a", "a" * 81])
def test_a_name_that_no_run_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be the name"):
        copy(START, tmp_path / "a.yaml", name)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_to_start_from_is_valid(tmp_path: Path) -> None:
    assert main(["recipe", "new", "mine", "--out", str(tmp_path / "a.yaml")]) == 0
    assert load_recipe(tmp_path / "a.yaml").name == "mine"
    text = (tmp_path / "a.yaml").read_text()
    assert f"# Run: o1kit run {tmp_path}/a.yaml\n" in text
    assert text.startswith("# yaml-language-server: $schema=recipe.schema.json\n")


def test_a_schema_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "recipe.schema.json").write_text("{}")
    assert copy(START, tmp_path / "a.yaml", "mine") == [tmp_path / "a.yaml"]
    assert (tmp_path / "recipe.schema.json").read_text() == "{}"


@pytest.mark.parametrize("name", ["123", "null", "1e5", "true", "2024-01-01"])
def test_a_name_that_yaml_reads_as_something_else_is_quoted(name: str, tmp_path: Path) -> None:
    copy(START, tmp_path / "a.yaml", name)
    copy(find("quickstart"), tmp_path / f"{name}.yaml")
    for file in (tmp_path / "a.yaml", tmp_path / f"{name}.yaml"):
        assert load_recipe(file).name == name
    assert load_recipe(tmp_path / "a.yaml", [f"name={name}"]).name == name  # as a run that is resumed says it


def test_a_recipe_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "show", "quickstart"]) == 0
    assert capsys.readouterr().out == (HERE / "quickstart.yaml").read_text()


ALL = """
import sys
from o1kit.cli import main
commands = "list,new a,cp quickstart b.yaml,lock b.yaml,pack b.yaml,verify b.o1r,pull b.o1r --yes"
for words in commands.split(","):
    assert main(["recipe", *words.split()]) == 0, words
heavy = {"torch", "lightning", "transformers", "peft", "datasets", "wandb", "numpy", "reasoning_gym"} & set(sys.modules)
assert not heavy, heavy
"""


def test_all_commands_need_nothing_heavy(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    words = [sys.executable, "-c", ALL]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {
        *("a.yaml", "b.yaml", "data", "b.lock", "b.o1r", "b", "recipe.schema.json")
    }


@pytest.mark.parametrize("said", ["rewards", "rewards.yaml"])
def test_the_name_of_a_recipe_that_is_not_here_says_how_to_get_it(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["validate", said]) == 2
    assert "o1kit recipe cp rewards" in capsys.readouterr().err
    assert main(["recipe", "cp", "rewards", "mine"]) == 0
    assert (tmp_path / "mine.yaml").is_file()
    assert main(["validate", "mine.yaml"]) == 0
    assert main(["validate", "nothing.yaml"]) == 2
    assert "recipe cp" not in capsys.readouterr().err
