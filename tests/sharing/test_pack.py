"""Archives of recipes and runs: what is in them, what is not, and that they are checked where they arrive."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from o1kit.artifacts import sha256_of
from o1kit.cli import main
from o1kit.errors import DataError, RecipeError
from o1kit.recipe.loader import load_recipe
from o1kit.sharing.archive import archive_bytes, manifest_of, read_archive
from o1kit.sharing.pack import pack
from o1kit.sharing.pull import Wanted, fetch, write
from o1kit.sharing.uses import uses
from o1kit.sharing.verify import verify
from tests.sharing.parts import PLAIN, ROWS, folder


def test_a_recipe_goes_with_all_it_extends_and_arrives_the_same(tmp_path: Path) -> None:
    recipe = folder(tmp_path / "a/r", "extends: ../base.yaml\n" + PLAIN)
    (tmp_path / "a/base.yaml").write_text("seed: 11\n")
    (tmp_path / "a/r/README.md").write_text("read me\n")
    (tmp_path / "a/r/secret.yaml").write_text("not mine: 1\n")
    packed = pack(recipe)
    assert packed.content == pack(recipe).content
    assert {*packed.files} == {"r/plain.yaml", "r/plain.lock", "base.yaml", "r/README.md"}
    assert packed.notes == ("left out: data/rows.jsonl (data; small files come along with --with-data)",)
    (tmp_path / "x.o1r").write_bytes(pack(recipe, with_data=True).content)
    write(fetch(Wanted(str(tmp_path / "x.o1r"))), tmp_path / "b")
    assert load_recipe(tmp_path / "b/r/plain.yaml") == load_recipe(recipe)
    assert (tmp_path / "b/r/data/rows.jsonl").read_text() == ROWS
    assert verify(tmp_path / "b/r/plain.lock").differences == ()


def test_values_of_the_environment_are_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O1KIT_TEST_SECRET", "hunter2hunter2")
    recipe = folder(tmp_path, PLAIN.replace("data/rows.jsonl", "'data/${env:O1KIT_TEST_SECRET}.jsonl'"))
    (tmp_path / "data/hunter2hunter2.jsonl").write_text(ROWS)
    packed = pack(recipe, with_data=True)
    for content in read_archive(packed.content, "x")[1].values():
        assert b"hunter2" not in content
    assert b"${env:O1KIT_TEST_SECRET}" in read_archive(packed.content, "x")[1]["plain.lock"]
    (tmp_path / "plain.lock").write_bytes(read_archive(packed.content, "x")[1]["plain.lock"])
    assert load_recipe(tmp_path / "plain.lock").tasks["train"].sources[0].path == "data/hunter2hunter2.jsonl"
    assert verify(tmp_path / "plain.lock").differences == ()
    (tmp_path / "x.o1r").write_bytes(packed.content)
    assert "O1KIT_TEST_SECRET" in uses(fetch(Wanted(str(tmp_path / "x.o1r"))).files).environment


def test_verify_tells_damage_an_invalid_recipe_and_differences_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = folder(tmp_path)
    archive = tmp_path / "plain.o1r"
    archive.write_bytes(pack(recipe).content)
    found = verify(archive)
    assert found.differences == () and any("not in the archive, not checked" in line for line in found.lines)
    assert verify(archive, tmp_path).differences == ()
    (tmp_path / "data/rows.jsonl").write_text("{}\n")
    assert [d.what for d in verify(archive, tmp_path).differences] == ["data/rows.jsonl"]
    _, files = read_archive(archive.read_bytes(), "x")
    other = files | {"plain.lock": re.sub(rb"torch: .*", b"torch: 2.10.0", files["plain.lock"])}
    archive.write_bytes(archive_bytes(manifest_of("plain.yaml", "plain.lock", other), other))
    assert main(["recipe", "verify", str(archive)]) == 4
    assert "package torch: locked 2.10.0, here" in capsys.readouterr().err
    wrong = files | {"plain.yaml": files["plain.yaml"].replace(b"steps", b"stepz")}
    archive.write_bytes(archive_bytes(manifest_of("plain.yaml", "plain.lock", wrong), wrong))
    with pytest.raises(RecipeError, match="Did you mean 'steps'"):
        verify(archive)
    with pytest.raises(DataError, match="no section `lock`"):
        verify(recipe)


def run_folder(root: Path) -> tuple[Path, Path]:
    """What a run of the plain recipe leaves, as far as it is packed: files of the documented layout."""
    recipe = folder(root / "recipes")
    run = root / "runs/plain"
    (run / "sft/checkpoints").mkdir(parents=True)
    (run / "sft.previous").mkdir()
    (run / "attempts").mkdir()
    (run / "recipe.json").write_text(json.dumps(load_recipe(recipe).model_dump(mode="json")))
    (run / "launch.json").write_text(json.dumps({"recipe": str(recipe), "recipe_directory": str(recipe.parent)}))
    (run / "attempts/2.json").write_text(json.dumps({"versions": {"torch": "2.99.0", "python": "3.11.99"}}))
    data = {"data/rows.jsonl": sha256_of(recipe.parent / "data/rows.jsonl")}
    (run / "sft/done.json").write_text(json.dumps({"data": data, "files": {"model.safetensors": {}}}))
    for name in ("sft/metrics.jsonl", "results.json", "plan.json", "sft.previous/metrics.jsonl"):
        (run / name).write_text("{}\n")
    for name in ("sft/model.safetensors", "sft/checkpoints/last.ckpt", "sft/outputs.jsonl"):
        (run / name).write_bytes(b"\0" * 100)
    return recipe, run


def test_a_run_goes_with_its_measurements_and_without_weights(tmp_path: Path) -> None:
    recipe, run = run_folder(tmp_path)
    packed = pack(run, with_data=True)
    measured = {"run/plan.json", "run/results.json", "run/sft/metrics.jsonl", "run/sft/done.json"}
    assert {*packed.files} == {"recipe.yaml", "recipe.lock", "data/rows.jsonl"} | measured
    (tmp_path / "x.o1r").write_bytes(packed.content)
    write(fetch(Wanted(str(tmp_path / "x.o1r"))), tmp_path / "got")
    assert load_recipe(tmp_path / "got/recipe.yaml") == load_recipe(recipe)
    lock = load_recipe(tmp_path / "got/recipe.lock").lock
    assert lock is not None and (lock.packages["torch"], lock.python) == ("2.99.0", "3.11.99")  # of the run, not of now


def test_a_run_whose_data_have_changed_since_is_not_packed(tmp_path: Path) -> None:
    recipe, run = run_folder(tmp_path)
    (recipe.parent / "data/rows.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="has changed since the run"):
        pack(run)
    (run / "launch.json").unlink()
    assert "recipe.lock" not in pack(run).files and "no lock" in pack(run).notes[-1]


def test_the_model_of_a_run_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _, run = run_folder(tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/config.json").write_text("{}")
    recipe = json.loads((run / "recipe.json").read_text())
    (run / "recipe.json").write_text(json.dumps(recipe | {"model": {"kind": "hf", "source": "../weights"}}))
    launch = json.loads((run / "launch.json").read_text())
    (run / "launch.json").write_text(json.dumps(launch | {"cwd": str(tmp_path)}))
    done = json.loads((run / "sft/done.json").read_text())
    (run / "sft/done.json").write_text(json.dumps(done | {"data": done["data"] | {"../weights": "0" * 64}}))
    (tmp_path / "elsewhere").mkdir()
    for where, source, out in ((tmp_path, "runs/plain", "a"), (tmp_path / "elsewhere", "../runs/plain", "b")):
        monkeypatch.chdir(where)
        assert main(["recipe", "pack", source, "--out", f"{out}.o1r"]) == 0, capsys.readouterr().err
        assert Path.cwd() == where
    a, b = ((tmp_path / name).read_bytes() for name in ("a.o1r", "elsewhere/b.o1r"))
    assert a == b and b"../weights/config.json" in read_archive(b, "b")[1]["recipe.lock"]
    (tmp_path / "weights").rename(tmp_path / "gone")
    assert main(["recipe", "pack", str(run), "--out", "c.o1r"]) == 4
    assert "weights: the run's model is not there" in capsys.readouterr().err


def test_the_command_prints_the_hash_and_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["recipe", "pack", str(folder(tmp_path)), "--out", str(tmp_path / "x.o1r")]
    assert main(words) == 0
    assert f"sha256 {sha256_of(tmp_path / 'x.o1r')}" in capsys.readouterr().out
    assert main(words) == 3
    assert "--force" in capsys.readouterr().err
