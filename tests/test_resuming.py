"""Runs that go on and branch off from their folders: what is taken over, what is refused. No model is trained here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from o1kit.artifacts import read_artifact, write_done, write_json
from o1kit.cli import main
from o1kit.config import public
from o1kit.control.records import LAUNCH, Launch
from o1kit.errors import DataError, RecipeError
from o1kit.identity import Identities
from o1kit.plan import compile_recipe
from o1kit.recipe.loader import load_recipe
from o1kit.resuming import LINKED_BYTES, fork, resumed, started_in
from o1kit.sharing.lock import lock_text, require

TEXT = """\
o1kit: 1
name: first
model: {kind: scratch}
tasks:
  train: {num_problems: 10, sources: [{kind: jsonl, path: x.jsonl}]}
stages:
  - {kind: sft, name: sft, steps: 5}
  - {kind: sft, name: more, policy: sft, steps: 5}
  - {kind: sft, name: most, policy: more, steps: 5}
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with its first two stages finished, as the runner leaves it."""
    (tmp_path / "r.yaml").write_text(TEXT)
    (tmp_path / "x.jsonl").write_text('{"question": "1+1", "answer": "2"}\n')
    directory = tmp_path / "runs" / "first"
    recipe = load_recipe(tmp_path / "r.yaml")
    plan = compile_recipe(recipe)
    write_json(directory / "recipe.json", public(recipe))
    launch = Launch(recipe=str(tmp_path / "r.yaml"), recipe_directory=str(tmp_path), stages=("sft..more",))
    write_json(directory / LAUNCH, launch.model_dump(mode="json"))
    finished, identities = {}, Identities(plan, tmp_path)
    for stage in plan.stages[:2]:
        folder = directory / stage.name
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(stage.name.encode() + bytes(LINKED_BYTES))
        (folder / "config.json").write_text("{}")
        identity = identities.of(stage, finished)
        finished[stage.name] = write_done(
            folder, stage.name, stage.kind, stage.fingerprint, inputs=identity["inputs"], data=identity["data"]
        )
    return directory


def test_a_fork_takes_what_the_changes_leave_as_it_is(run: Path) -> None:
    (run / "sft" / "not-in-the-manifest").write_text("x")
    made = fork(run, run.parent / "second", ["stages.more.steps=7"])
    assert (made.taken, made.to_run) == (("sft",), ("more", "most"))
    second = run.parent / "second"
    assert read_artifact(second / "sft") is not None
    assert not (second / "sft" / "not-in-the-manifest").exists()
    assert not (second / "more").exists()
    weights, settings = (second / "sft" / name for name in ("model.safetensors", "config.json"))
    assert os.path.samefile(weights, run / "sft" / "model.safetensors"), "large files are shared"
    assert not os.path.samefile(settings, run / "sft" / "config.json")
    recipe = json.loads((second / "recipe.json").read_text())
    assert (recipe["name"], recipe["stages"][1]["steps"]) == ("second", 7)
    found = resumed(second)
    assert not found.from_file
    assert found.launch.recipe_directory == str(run.parents[1]), "relative paths still start from the recipe's folder"
    assert [stage.fingerprint for stage in found.plan.stages][:1] == [
        stage.fingerprint for stage in resumed(run).plan.stages
    ][:1]
    assert sorted(p.name for p in run.parent.iterdir()) == ["first", "second"], "no draft is left"


def test_a_fork_is_data(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)  # the command goes where the run was started
    words = ["fork", str(run), "third", "--set", "stages.more.steps=7", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(run.parent / "third") and found["from"] == str(run)
    assert (found["taken"], found["to_run"], found["unlocked"]) == (["sft"], ["more", "most"], False)
    assert main(words) != 0
    assert "exists already" in json.loads(capsys.readouterr().out)["faults"][0]["message"]


def test_a_fork_can_start_over_from_a_stage(run: Path) -> None:
    assert fork(run, run.parent / "same").taken == ("sft", "more")
    assert fork(run, run.parent / "over", before="more").taken == ("sft",)
    assert fork(run, run.parent / "all", before="sft").taken == ()


def test_forks_are_refused_before_anything_is_written(run: Path) -> None:
    with pytest.raises(RecipeError, match="exists already"):
        fork(run, run)
    with pytest.raises(RecipeError, match="Did you mean 'more'"):
        fork(run, run.parent / "new", before="mor")
    with pytest.raises(RecipeError, match="stepz"):
        fork(run, run.parent / "new", ["stages.more.stepz=7"])
    with pytest.raises(RecipeError, match="name"):
        fork(run, run.parent / "-no-name")
    done = json.loads((run / "sft" / "done.json").read_text())
    outside = run / "outside"
    outside.write_text("secret")
    (run / "sft" / "link").symlink_to(outside)
    done["files"]["link"] = {"size": 6, "sha256": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}
    (run / "sft" / "done.json").write_text(json.dumps(done))
    with pytest.raises(DataError, match="no file of this stage"):
        fork(run, run.parent / "new")
    assert [p.name for p in run.parent.iterdir()] == ["first"]
    (run / "recipe.json").unlink()
    with pytest.raises(RecipeError, match="only starting"):
        fork(run, run.parent / "new")


def test_a_run_goes_on_with_its_recipe_file_unless_that_has_changed(run: Path) -> None:
    file = run.parents[1] / "r.yaml"
    found = resumed(run)
    assert found.from_file
    assert found.launch.stages == ("sft..more",), "what was selected"
    assert resumed(run, stages=["most"]).launch.stages == ("most",)
    file.write_text("# only a comment\n" + TEXT)
    assert resumed(run).plan.stages == found.plan.stages
    file.write_text(TEXT.replace("name: more, policy: sft, steps: 5", "name: more, policy: sft, steps: 9"))
    with pytest.raises(RecipeError, match=r"has changed since first was started: stages\[more\]\.steps: 5 -> 9\."):
        resumed(run)
    assert resumed(run, changed=True).plan.stages[1].config.steps == 9
    file.unlink()
    gone = resumed(run, ["stages.more.steps=6"])
    assert not gone.from_file
    assert [stage.config.steps for stage in gone.plan.stages] == [5, 6, 5]
    assert (gone.launch.recipe, gone.launch.sets) == (None, ()), "its own recipe.json will hold them"
    assert gone.plan.stages[0].fingerprint == found.plan.stages[0].fingerprint


def test_a_renamed_folder_is_the_run_it_is_called(run: Path) -> None:
    moved = run.rename(run.with_name("moved"))
    assert resumed(moved).plan.recipe.name == "moved"


def test_a_run_without_records_says_what_to_do(run: Path) -> None:
    (run / LAUNCH).write_text("{")
    with pytest.raises(RecipeError, match="o1kit run RECIPE goes on where it was"):
        resumed(run)


def test_folders_that_the_environment_names_are_found_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = run.parents[1]
    monkeypatch.setenv("O1KIT_TEST_HOME", str(home))
    (home / "r.yaml").write_text(TEXT.replace("path: x.jsonl", "path: '${env:O1KIT_TEST_HOME}/x.jsonl'"))
    recipe = load_recipe(home / "r.yaml")  # from here on the folder's name is not written to disk
    write_json(run / "recipe.json", public(recipe))
    launch = Launch(recipe=str(home / "r.yaml"), recipe_directory=str(home), cwd=str(home))
    write_json(run / LAUNCH, launch.model_dump(mode="json"))
    assert str(home) not in (run / LAUNCH).read_text() + (run / "recipe.json").read_text()
    found = resumed(run)
    assert (found.from_file, found.launch.recipe_directory, started_in(run)) == (True, str(home), home)


def test_a_fork_of_a_locked_run_is_locked_as_long_as_it_computes_the_same(run: Path) -> None:
    home = run.parents[1]
    (home / "r.lock").write_text(lock_text(load_recipe(home / "r.yaml"), home, "r.yaml"))
    write_json(run / "recipe.json", public(load_recipe(home / "r.lock")))
    same = fork(run, run.parent / "same", ["stages.most.checkpoint_every=9"])
    assert not same.unlocked and resumed(same.directory).plan.recipe.lock is not None
    other = fork(run, run.parent / "other", ["stages.most.steps=9"])
    assert other.unlocked and other.taken == ("sft", "more")
    plan = resumed(other.directory).plan
    assert plan.recipe.lock is None and plan.stages[2].config.steps == 9
    require(plan.recipe, home)
