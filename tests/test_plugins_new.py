"""`o1kit plugins new`: a package that passes the conformance kit; bad names and what is there are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from o1kit.cli import main
from o1kit.recipe.loader import load_recipe
from o1kit.scaffold.plugin import GROUPS, names_of
from tests.distributions import install
from tests.plugin_venv import PluginVenv


def new(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["plugins", "new", *arguments])
    told = capsys.readouterr()
    return code, " ".join((told.out + told.err).split())


@pytest.mark.parametrize("group", GROUPS)
def test_the_example_of_a_new_plugin_is_valid_at_once(
    group: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"brand-new-{group}"
    assert new(capsys, name, "--group", group, "--out", str(tmp_path))[0] == 0
    package, kind = name.replace("-", "_"), name.replace("-", "_")
    site = install(tmp_path / "site", name, {group: {kind: f"{package}:plugin"}}, {})
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(tmp_path / name / "src")
    assert load_recipe(tmp_path / name / "recipe.yaml").name == name
    files = [path for path in (tmp_path / name).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    texts = [path.read_text(encoding="utf-8") for path in files]
    assert not any(re.search(r"__(distribution|package|kind|type|group|api|o1kit)__", text) for text in texts)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("First", "is no name for a plugin"),
        ("../evil", "is no name for a plugin"),
        ("a b", "is no name for a plugin"),
        ("x" * 41, "at most 40"),
        ("json", "part of Python"),
        ("class", "part of Python"),
        ("o1kit", "o1kit itself"),
        ("o1kit-mcts", "already (built-in)"),
        ("best-of-n", "already (built-in)"),
    ],
)
def test_bad_names_are_refused(name: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = new(capsys, name, "--out", str(tmp_path / "out"))
    assert code == 2 and told in text
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    code, text = new(capsys, "mine", "--out", str(tmp_path))
    assert code == 4 and "exists already" in text
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_an_unknown_group_is_told_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = new(capsys, "mine", "--group", "serches", "--out", str(tmp_path))
    assert code == 2 and "Did you mean 'searches'?" in text


def test_names_follow_from_one() -> None:
    names = names_of("o1kit-first-twice", "searches")
    assert (names.package, names.kind, names.type) == ("o1kit_first_twice", "first_twice", "FirstTwice")


@pytest.mark.slow
def test_a_new_search_installs_and_passes_the_kit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(capsys, "o1kit-first-twice", "--out", str(tmp_path))[0] == 0
    environment = PluginVenv(tmp_path / "env")
    folder = environment.install(tmp_path / "o1kit-first-twice")
    assert "ok  o1kit.searches: first_twice" in environment.o1kit(folder, "plugins", "check")
    assert "14 passed" in environment.pytest(folder)
