"""Paths of a recipe, from the environment or not: seen from any folder they are the same, and show no secret."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from o1kit.cli import main
from o1kit.config import Config, FilePath, FolderOrId, Found, public
from o1kit.functional import secrets
from o1kit.identity import Identities
from o1kit.plan import compile_recipe
from o1kit.recipe.beside import path_fields
from o1kit.recipe.loader import load, load_recipe
from o1kit.sharing.lock import lock_of, lock_text

ROWS = '{"question": "What is 1 + 1?", "answer": "2"}\n'
RECIPE = """\
o1kit: 1
name: here
model: {kind: hf, source: MODEL}
tasks: {train: {num_problems: 1, sources: [{kind: jsonl, path: p.jsonl}]}}
stages: [{kind: sft, name: sft, steps: 2}]
"""


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_known", {})


def written(folder: Path, model: str = "m", at: str = "m") -> Path:
    """A recipe with the folder of a model and a file of problems beside it."""
    (folder / at).mkdir(parents=True)
    (folder / at / "config.json").write_text("{}")
    (folder / "p.jsonl").write_text(ROWS)
    (folder / "r.yaml").write_text(RECIPE.replace("MODEL", model))
    return folder / "r.yaml"


def fingerprint(recipe: Path) -> str:
    return compile_recipe(load_recipe(recipe)).stages[0].fingerprint


@pytest.mark.parametrize("value", ["./SECRETone", "SECRETone/", "a/../SECRETone", ".//SECRETone", "../up/SECRETone"])
def test_the_folder_of_a_model_is_a_secret_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = written(tmp_path / "up", '"${env:O1KIT_TEST}"', "SECRETone")
    (tmp_path / "up/a").mkdir()
    monkeypatch.setenv("O1KIT_TEST", value)
    for cwd in (tmp_path / "up", tmp_path):
        monkeypatch.chdir(cwd)
        loaded = load_recipe(recipe)
        assert Path(loaded.model.source).samefile(tmp_path / "up/SECRETone")  # type: ignore[union-attr]
        text = lock_text(loaded, recipe.parent, "r")
        assert "SECRETone" not in text
        assert lock_of(loaded, recipe.parent).files["${env:O1KIT_TEST}/config.json"].size == 2
        (tmp_path / "up/r.lock").write_text(text)
        assert public(load_recipe(tmp_path / "up/r.lock"), exclude={"lock"}) == public(loaded, exclude={"lock"})
        assert main(["explain", str(recipe), "--full"]) == 0
        assert "SECRETone" not in capsys.readouterr().out
        assert "SECRETone" not in secrets.hide(f"{tmp_path}/up/SECRETone/config.json: gone")


@pytest.mark.parametrize("value", ["./SECRETone", "SECRETone/", "../sub/SECRETone", ".//SECRETone/."])
def test_a_path_of_an_extended_file_shows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = written(tmp_path / "sub")
    base.write_text(base.read_text().replace("p.jsonl", '"${env:O1KIT_TEST}/p.jsonl"'))
    (tmp_path / "sub/SECRETone").mkdir()
    (tmp_path / "sub/SECRETone/p.jsonl").write_text(ROWS)
    (tmp_path / "r.yaml").write_text("extends: sub/r.yaml\n")
    monkeypatch.setenv("O1KIT_TEST", value)
    loaded = load(tmp_path / "r.yaml")
    path = "sub/${env:O1KIT_TEST}/p.jsonl"
    assert loaded.recipe.tasks["train"].sources[0].path == "sub/SECRETone/p.jsonl"
    assert public(loaded.recipe)["tasks"]["train"]["sources"][0]["path"] == path
    text = lock_text(loaded.recipe, tmp_path, "r")
    assert path in text
    assert main(["explain", str(tmp_path / "r.yaml"), "--full"]) == 0
    assert "SECRETone" not in text + capsys.readouterr().out + json.dumps(loaded.source.data)
    (tmp_path / "r.lock").write_text(text)
    again = load_recipe(tmp_path / "r.lock")
    assert public(again, exclude={"lock"}) == public(loaded.recipe, exclude={"lock"})
    assert (tmp_path / again.tasks["train"].sources[0].path).samefile(tmp_path / "sub/SECRETone/p.jsonl")


def test_fingerprints_depend_on_no_working_directory_and_move_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = written(tmp_path / "C")
    (tmp_path / "C/other.yaml").write_text("extends: deep/r.yaml\n")
    written(tmp_path / "C/deep")
    found = set()
    for cwd in (tmp_path / "C", tmp_path, tmp_path / "C/deep"):
        monkeypatch.chdir(cwd)
        plan = compile_recipe(load_recipe(recipe))
        data = Identities(plan, recipe.parent).of(plan.stages[0], {})["data"]
        assert {*data} == {"m", "p.jsonl"}
        deep = load_recipe(tmp_path / "C/other.yaml")
        assert public(deep)["model"]["source"] == "deep/m"
        set_here = load_recipe(recipe, ["model.source=deep/m"])
        assert public(set_here)["model"]["source"] == "deep/m", "what --set says starts from the recipe"
        found.add((plan.stages[0].fingerprint, compile_recipe(deep).stages[0].fingerprint))
    (tmp_path / "C").rename(tmp_path / "D")
    monkeypatch.chdir(tmp_path)
    found.add((fingerprint(tmp_path / "D/r.yaml"), fingerprint(tmp_path / "D/other.yaml")))
    assert len(found) == 1


def test_a_run_is_packed_from_anywhere_with_the_hashes_of_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from o1kit.artifacts import write_json
    from o1kit.control.records import LAUNCH, Launch
    from o1kit.resuming import resumed
    from o1kit.sharing.archive import read_archive
    from o1kit.sharing.pack import pack

    recipe, run = written(tmp_path / "C"), tmp_path / "C/runs/here"
    monkeypatch.chdir(tmp_path / "C")
    write_json(run / "recipe.json", public(load_recipe(recipe)), clean=True)
    launch = Launch(recipe=str(recipe), recipe_directory=str(recipe.parent))
    write_json(run / LAUNCH, launch.model_dump(mode="json"))
    (tmp_path / "elsewhere").mkdir()
    before = fingerprint(recipe)
    for cwd in (tmp_path / "C", tmp_path / "elsewhere"):
        monkeypatch.chdir(cwd)
        lock = read_archive(pack(run).content, "x")[1]["recipe.lock"].decode()
        assert "m/config.json" in lock
        assert "models: {}" in lock
        assert before in lock
        assert resumed(run).plan.stages[0].fingerprint == before
    recipe.unlink()
    again = resumed(run)
    assert (again.from_file, again.plan.stages[0].fingerprint) == (False, before)
    assert os.path.samefile(again.plan.recipe.model.source, tmp_path / "C/m")  # type: ignore[union-attr]


class Paths(Config):
    """Fields that hold paths in every way a plugin's section may write them."""

    one: FilePath
    maybe: FilePath | None = None
    found: FolderOrId | int = 3
    several: list[FilePath] = []
    by_name: dict[str, Annotated[FilePath, Field(min_length=1)]] = {}
    word: str = "x"


def test_paths_in_lists_and_those_that_may_be_null_are_found() -> None:
    section = Paths(one="a", maybe="b", several=["c", "d"], by_name={"e": "f"}, word="g")
    assert [path for path, _ in path_fields(section)] == [
        ("one",), ("maybe",), ("several", 0), ("several", 1), ("by_name", "e")
    ]  # fmt: skip
    found = dict(path_fields(Paths(one="a", found="b")))
    assert isinstance(found["found",], Found) and not isinstance(found["one",], Found)
