"""Recipes from elsewhere: paths, folders and archives, some of them hostile."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1kit.cli import main
from o1kit.config import Beside
from o1kit.errors import DataError, EnvironmentFailure
from o1kit.recipe.loader import load_recipe
from o1kit.recipe.schema import Recipe
from o1kit.sharing.archive import archive_bytes, manifest_of, sha256
from o1kit.sharing.inputs import READ
from o1kit.sharing.pull import Wanted, composed, fetch, write
from o1kit.sharing.uses import uses
from tests.sharing.parts import PLAIN, ROWS, folder, member, packed, with_manifest

FILES = {"plain.yaml": PLAIN.encode(), "data/rows.jsonl": ROWS.encode()}
GOOD = archive_bytes(manifest_of("plain.yaml", None, FILES), FILES)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "good.o1r").write_bytes(GOOD)
    return tmp_path / "good.o1r"


def test_an_archive_is_shown_and_written_only_when_agreed(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipe", "pull", str(good), "--out", str(tmp_path / "got")]) == 0
    said = capsys.readouterr().out
    assert "nothing was written" in said and f"sha256 {sha256(GOOD)}" in said
    assert "data/rows.jsonl: comes along" in said
    assert not (tmp_path / "got").exists()
    pulled = fetch(Wanted(str(good), sha256=sha256(GOOD)))
    write(pulled, tmp_path / "got")
    assert load_recipe(tmp_path / "got/plain.yaml").name == "plain"
    assert {p.relative_to(tmp_path / "got").as_posix() for p in (tmp_path / "got").rglob("*") if p.is_file()} == {
        *FILES
    }


def test_another_hash_is_refused(good: Path) -> None:
    with pytest.raises(DataError, match=sha256(GOOD)):
        fetch(Wanted(str(good), sha256="0" * 64))


def test_a_hostile_archive_gives_code_4_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.o1r").write_bytes(packed(*with_manifest(FILES), member("../../evil\x1b[2J.yaml")))
    before = sorted(tmp_path.rglob("*"))
    assert main(["recipe", "pull", str(tmp_path / "bad.o1r"), "--out", str(tmp_path / "a/got"), "--yes"]) == 4
    assert "leads out of its folder" in (said := capsys.readouterr().err) and "\x1b" not in said
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_there_is_never_overwritten(good: Path, tmp_path: Path) -> None:
    pulled = fetch(Wanted(str(good)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("full", "link", "good.o1r"):
        with pytest.raises(EnvironmentFailure, match="is there already"):
            write(pulled, tmp_path / name)
    (tmp_path / "empty").mkdir()
    write(pulled, tmp_path / "empty")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "full", "good.o1r", "link"]


def test_a_folder_gives_one_recipe_with_what_it_extends_and_reads(tmp_path: Path) -> None:
    folder(tmp_path / "r", PLAIN + "extends: [../base/a.yaml]\n", "r.yaml")
    (tmp_path / "base").mkdir()
    (tmp_path / "base/a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "base/b.yaml").write_text("seed: 7\n")
    (tmp_path / "base/other.yaml").write_text("seed: 8\n")
    found = fetch(Wanted(str(tmp_path), recipe="r/r.yaml"))
    assert {*found.files} == {"r/r.yaml", "base/a.yaml", "base/b.yaml"} | {"r/data/rows.jsonl"}
    assert composed(found)[1] is None
    with pytest.raises(DataError, match="outside of what is shared"):
        fetch(Wanted(str(tmp_path / "r")))
    (tmp_path / "r/r2.yaml").write_text(PLAIN)
    with pytest.raises(DataError, match="2 recipes"):
        fetch(Wanted(str(tmp_path / "r")))


@pytest.mark.parametrize("path", ["/etc/hostname", "../../../../etc/hostname", "link.yaml"])
def test_a_recipe_cannot_extend_what_lies_elsewhere(path: str, tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to("/etc/hostname")
    (tmp_path / "r.yaml").write_text(f"extends: {path}\n{PLAIN}")
    with pytest.raises(DataError, match=r"outside|not there"):
        fetch(Wanted(str(tmp_path / "r.yaml")))


def test_a_data_file_elsewhere_is_named_and_not_taken(tmp_path: Path) -> None:
    for path in ("/etc/x.jsonl", "../x.jsonl"):
        found = fetch(Wanted(str(folder(tmp_path, PLAIN.replace("data/rows.jsonl", path)))))
        assert {*found.files} == {"plain.yaml"}
        assert uses(found.files).data[path].startswith("OUTSIDE")


def test_links_are_named_where_they_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    (tmp_path / "data").symlink_to("elsewhere")
    for name in ("secret.yaml", "notes.txt", "README.md"):
        (tmp_path / name).symlink_to("/etc/passwd")
    assert fetch(Wanted(str(tmp_path))).links == ("README.md", "data/rows.jsonl", "secret.yaml")
    assert fetch(Wanted(str(tmp_path / "plain.yaml"))).links == ("README.md", "data/rows.jsonl")
    assert main(["recipe", "pull", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "  secret.yaml  left out: links are not followed\n" in said and "notes.txt" not in said
    (tmp_path / "plain.yaml").unlink()
    with pytest.raises(DataError, match=r"Links are not followed: 'secret.yaml'"):
        fetch(Wanted(str(tmp_path)))


def test_everything_that_a_recipe_would_use_is_shown() -> None:
    text = """\
model: {kind: hf, source: somebody/model}
engine: {kind: http, endpoints: ["https://example.org/v1"], api_key_env: SECRET_KEY}
tasks: {train: {sources: [{kind: magic, grader: {kind: python}}, {kind: jsonl, path: a.jsonl}]}}
name: a-${env:USER}
tracking: {wandb: {mode: online}}
stages: [{kind: sft}, {kind: evaluate, teacher: ghost, judge_folder: w}]
"""
    found = uses({"a.yaml": text.encode(), "README.md": b"kind: nothing"})
    assert {*found.plugins} == {"magic", "ghost"} and "NOT INSTALLED" in found.plugins["magic"]
    assert {*found.data} == {"a.jsonl", "w"}
    assert "downloaded" in found.models["somebody/model"]
    assert {*found.network} == {"https://example.org/v1", "Weights & Biases"}
    assert {*found.programs} == {"grader python"} and {*found.environment} == {"SECRET_KEY", "USER"}


def test_a_recipe_cannot_write_lines_of_ours() -> None:
    text = 'a: {path: "x\\nnetwork: none"}\nb: {kind: "y\\e[2J\\nvalid"}\n'
    lines = list(uses({"a.yaml": text.encode()}).lines())
    assert lines.count("network: none") == 1 and all(line.isprintable() for line in lines)


def test_nothing_hides_in_pieces(tmp_path: Path) -> None:
    text = PLAIN + 'engine: {kind: http, endpoints: ["${name}s://192.0.2.1/v1"]}\n'
    found = fetch(Wanted(str(folder(tmp_path, text.replace("name: plain", "name: http")))))
    data, wrong = composed(found)
    assert wrong is None and "https://192.0.2.1/v1" in uses(found.files, found.recipe, data).network


def test_operators_hide_nothing(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(PLAIN)
    text = "extends: base.yaml\ntracking: !replace {wandb: {mode: online}}\n"
    found = fetch(Wanted(str(folder(tmp_path, text, "r.yaml"))))
    assert {*found.files} == {"r.yaml", "base.yaml", "data/rows.jsonl"}
    assert "Weights & Biases" in uses(found.files).network


def archive(path: Path, files: dict[str, str], lock: str | None = None) -> Path:
    held = {name: text.encode() for name, text in files.items()}
    path.write_bytes(archive_bytes(manifest_of(next(iter(files)), lock, held), held))
    return path


@pytest.mark.parametrize("where", ["recipe", "base", "lock", "other"])
@pytest.mark.parametrize("listed", [False, True])
def test_an_archive_cannot_extend_what_lies_elsewhere(
    where: str, listed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "private.yaml").write_text("seed: 7\npassword: hunter2\n")
    out = f"extends: {tmp_path}/private.yaml\n"
    out = f"extends: [{tmp_path}/private.yaml]\n" if listed else out
    files = {
        "a.yaml": (out if where == "recipe" else "extends: base.json\n") + PLAIN,
        "base.json": out if where == "base" else "{seed: 1}\n",
        "deep/b.yaml": out if where == "other" else "extends: ../a.yaml\n",
        "a.md": out if where == "lock" else "seed: 1\n",
    }
    file = archive(tmp_path / "x.o1r", files, "a.md")
    for command in (["pull", str(file), "--yes", "--out", str(tmp_path / "got")], ["verify", str(file)]):
        assert main(["recipe", *command]) == 4
        said = capsys.readouterr()
        assert "outside of what is shared" in said.err and "hunter2" not in said.out + said.err
    assert not (tmp_path / "got").exists()


def test_a_recipe_that_an_archive_does_not_hold_is_refused(good: Path, tmp_path: Path) -> None:
    words = ["recipe", "pull", str(good), "--recipe", "nope.yaml", "--yes", "--out", str(tmp_path / "got")]
    assert main(words) == 4 and not (tmp_path / "got").exists()
    with pytest.raises(DataError, match="leads out of its folder"):
        fetch(Wanted(str(good), recipe="../good.yaml"))


@pytest.mark.parametrize("base", ["base.json", "b/base.md", "base.jsonl"])
def test_nothing_hides_in_a_base_of_another_ending(base: str, tmp_path: Path) -> None:
    text = "model: {kind: hf, source: somebody/model}\nengine: {kind: http, api_key_env: SECRET_KEY}\n"
    files = {"a.yaml": f"extends: {base}\nname: '${{env:O1KIT_NOT_SET}}'\n", base: text}
    found = fetch(Wanted(str(archive(tmp_path / "x.o1r", files))))
    for data in (None, composed(found)[0]):
        shown = uses(found.files, found.recipe, data)
        assert "somebody/model" in shown.models and "SECRET_KEY" in shown.environment
    odd = {"a.json": text}
    assert "somebody/model" in uses(fetch(Wanted(str(archive(tmp_path / "y.o1r", odd)))).files, "a.json").models


def test_nothing_hides_in_pieces_of_what_is_not_valid_here(tmp_path: Path) -> None:
    text = PLAIN.replace("name: plain", "name: http") + 'engine: {kind: http, endpoints: ["${name}s://192.0.2.1/v1"]'
    found = fetch(Wanted(str(folder(tmp_path, text + ", model: '${env:O1KIT_NOT_SET}'}\n"))))
    data, wrong = composed(found)
    assert wrong is not None and "O1KIT_NOT_SET is not set" in str(wrong)
    assert "https://192.0.2.1/v1" in uses(found.files, found.recipe, data).network


def test_every_field_that_names_a_file_is_known() -> None:
    marked = {
        name
        for section in _sections(Recipe)
        for name, field in section.model_fields.items()
        if any(type(mark) is Beside for mark in field.metadata)
    }
    assert marked and marked == {*READ}


def _sections(section: type, known: set[type] | None = None) -> set[type]:
    """All classes of sections, found through the annotations."""
    from typing import get_args

    from o1kit.config import Config

    known = set() if known is None else known
    waiting = [field.annotation for field in section.model_fields.values()]  # type: ignore[attr-defined]
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, Config) and annotation not in known:
            known.add(annotation)
            _sections(annotation, known)
        waiting += get_args(annotation)
    return known


def test_a_mistyped_recipe_of_several_is_told_with_the_one_that_was_meant(good: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(PLAIN)
    for source in (good, tmp_path):
        folder(tmp_path)
        with pytest.raises(
            DataError, match=r"'plane\.yaml' is not there \(or is a link\)\. Did you mean 'plain\.yaml'"
        ):
            fetch(Wanted(str(source), recipe="plane.yaml"))
