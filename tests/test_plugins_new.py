"""`o1kit plugins new`: for every group a package that passes its own tests; bad names and what is there are refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from o1kit import registry
from o1kit.cli import main
from o1kit.recipe.loader import load_recipe
from o1kit.scaffold.plugin import GROUPS, LONGEST, make_plugin, names_of
from tests.distributions import install
from tests.plugin_venv import ROOT, PluginVenv

NOT_RUN = ["engines", "graders", "rewards", "tasks", "teachers"]
"""Groups whose packages do not run their recipes in their own tests. That of a search takes a minute."""


class Package(NamedTuple):
    """A new package: its folder, where it is installed, and the name it registers."""

    folder: Path
    site: Path
    kind: str


def package(name: str, group: str, out: Path) -> Package:
    """A new package, installed by the entry points in its own pyproject.toml."""
    folder, _ = make_plugin(name, group, out)
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ((kind, target),) = project["entry-points"][f"o1kit.{group}"].items()
    return Package(folder, install(out / f"{name}-site", project["name"], {group: {kind: target}}, {}), kind)


@pytest.fixture
def made(group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """A new package that is installed in this process."""
    found = package(f"brand-new-{group}", group, tmp_path)
    monkeypatch.syspath_prepend(found.site)
    monkeypatch.syspath_prepend(found.folder / "src")
    return found


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """How a command ends, and all that it prints, in one line."""
    code = main([*arguments])
    printed = capsys.readouterr()
    return code, " ".join((printed.out + printed.err).split())


def new(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    return told(capsys, "plugins", "new", *arguments)


def run(*command: str, cwd: Path, **env: str) -> str:
    """The output of a process, which must succeed."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, "NO_COLOR": "1", **env}, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_every_group_has_a_template_and_help_and_documentation_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(GROUPS) == set(registry.GROUPS)
    code, text = new(capsys, "--help")
    page = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    for group in GROUPS:
        assert code == 0 and re.search(rf"\b{group}\b", text)
        assert f"\n| `{group}`" in page


@pytest.mark.parametrize("group", GROUPS)
def test_a_new_package_is_in_order_and_its_example_valid(
    group: str, made: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_recipe(made.folder / "recipe.yaml").name == f"brand-new-{group}"
    code, text = told(capsys, "plugins", "check", made.kind)
    assert code == 0 and f"ok o1kit.{group}: {made.kind}" in text
    files = [path for path in made.folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    left = re.compile(r"__(distribution|package|kind|type|group|api|entry|o1kit)__")
    assert not [path for path in files if left.search(f"{path}\n{path.read_text(encoding='utf-8')}")]


@pytest.mark.slow
def test_the_tests_of_new_packages_pass(tmp_path: Path) -> None:
    """All of them in one process; those of a search run in an environment of its own, see below."""
    made = [package(f"o1kit-fresh-{group}", group, tmp_path) for group in GROUPS if group != "searches"]
    path = os.pathsep.join([*(f"{one.site}{os.pathsep}{one.folder / 'src'}" for one in made), str(ROOT)])
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    tests = [str(one.folder / "tests") for one in made]
    summary = run(*command, "--import-mode=importlib", *tests, cwd=tmp_path, PYTHONPATH=path).splitlines()[-1]
    assert re.match(r"\d+ passed in ", summary), summary


@pytest.mark.slow
@pytest.mark.parametrize("group", NOT_RUN)
def test_the_example_of_a_new_package_runs(
    group: str, made: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("run", str(made.folder / "recipe.yaml"), "--plain", "--runs-dir", str(tmp_path / "runs"))
    shorter = ("--set", "stages.sft.steps=10") if group in ("graders", "teachers") else ()
    code, text = told(capsys, *command, "--set", "tracking.wandb.mode=disabled", *shorter)
    assert code == 0 and "evaluate: done in" in text, text


@pytest.mark.parametrize("name", ["o1kit-first-twice", "x" * LONGEST], ids=["usual", "longest"])
def test_new_packages_are_laid_out_as_ruff_has_it(name: str, tmp_path: Path) -> None:
    for group in GROUPS:
        make_plugin(name, group, tmp_path / group)
    for command in (["check"], ["format", "--check"]):
        run(sys.executable, "-m", "ruff", *command, "--no-cache", ".", cwd=tmp_path)


@pytest.mark.slow
def test_new_packages_pass_strict_mypy(tmp_path: Path) -> None:
    sources = [make_plugin(f"o1kit-typed-{group}", group, tmp_path)[0] / "src" for group in GROUPS]
    assert "no issues found" in run(sys.executable, "-m", "mypy", "--strict", *map(str, sources), cwd=ROOT)


@pytest.mark.parametrize("group", ["models"])
def test_the_model_of_a_plugin_is_made_where_its_tokenizer_is_needed(
    group: str, made: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = told(capsys, "data", "show", str(made.folder / "recipe.yaml"), "--stage", "sft")
    assert code == 0 and "So the answer is" in text


@pytest.mark.parametrize(
    ("name", "group", "told"),
    [
        ("First", "searches", "is no name for a plugin"),
        ("../evil", "searches", "is no name for a plugin"),
        ("a b", "searches", "is no name for a plugin"),
        ("o1kit-2x", "searches", "is no name for a plugin"),
        ("x" * 41, "searches", "at most 40"),
        ("json", "searches", "part of Python"),
        ("class", "searches", "part of Python"),
        ("o1kit", "searches", "o1kit itself"),
        ("o1kit-mcts", "searches", "already (built-in)"),
        ("best-of-n", "searches", "already (built-in)"),
        ("o1kit-hf", "exporters", "already (built-in)"),
        ("o1kit-validate", "commands", "already (built-in). Choose another name"),
    ],
)
def test_bad_names_are_refused(
    name: str, group: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = new(capsys, name, "--group", group, "--out", str(tmp_path / "out"))
    assert code == 2 and told in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("group", ["teachers"])
def test_a_generator_has_one_teacher(
    group: str, made: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = new(capsys, "another", "--group", group, "--out", str(tmp_path))
    assert code == 2 and "'count_bits' in o1kit.teachers already (brand-new-teachers" in text
    assert "uninstall it" in text and not (tmp_path / "another").exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    code, text = new(capsys, "mine", "--out", str(tmp_path))
    assert code == 4 and "exists already" in text
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_an_unknown_group_is_told_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = new(capsys, "mine", "--group", "serches", "--out", str(tmp_path))
    assert code == 2 and "Did you mean 'searches'?" in text


@pytest.mark.parametrize(
    ("group", "kind"), [("searches", "first_twice"), ("commands", "first-twice"), ("teachers", "count_bits")]
)
def test_names_follow_from_one(group: str, kind: str) -> None:
    names = names_of("o1kit-first-twice", group)
    assert (names.package, names.kind, names.type) == ("o1kit_first_twice", kind, "FirstTwice")


@pytest.mark.slow
def test_a_new_search_installs_and_passes_the_kit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(capsys, "o1kit-first-twice", "--out", str(tmp_path))[0] == 0
    environment = PluginVenv(tmp_path / "env")
    folder = environment.install(tmp_path / "o1kit-first-twice")
    assert "ok  o1kit.searches: first_twice" in environment.o1kit(folder, "plugins", "check")
    assert "14 passed" in environment.pytest(folder)
