"""Commands of installed packages: in the help without an import, imported when called, never in a core's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.distributions import install, several

COMMANDS = '''
import typer

app = typer.Typer(help="Greetings.")

@app.command()
def hello(name: str, loud: bool = False) -> None:
    """Say hello."""
    print(f"hello {name}" + "!" * loud)

@app.command()
def bye() -> None:
    """Say goodbye."""

def count(number: int = 3) -> None:
    """Count."""
    print(*range(number))
    raise typer.Exit(7)
'''
ENTRIES = {
    "greet": "greeting:app",
    "count": "greeting:count",
    "broken": "bomb:app",
    "validate": "bomb:app",
    "plain": "greeting:typer",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    files = {"greeting.py": COMMANDS, "bomb.py": "open('imported', 'w').close()\nimport not_there_at_all\n"}
    return install(folder, "o1kit-greeting", {"commands": ENTRIES}, files)


def test_help_names_them_without_importing_them(site: Path, tmp_path: Path) -> None:
    done, plugins = several(site, ["--help"], ["plugins", "list"], cwd=tmp_path, light=True)
    assert done.returncode == 0, done.stderr
    for name in ("greet", "count", "broken"):
        assert any(name in line and "o1kit-greeting 1.2" in line for line in done.stdout.splitlines())
    assert not (tmp_path / "imported").exists()
    taken = [line for line in plugins.stdout.splitlines() if line.split()[:2] == ["commands", "validate"]]
    assert len(taken) == 1 and "built-in name" in taken[0]


def test_they_run_with_their_own_options(site: Path, tmp_path: Path) -> None:
    calls = (["greet", "hello", "you", "--loud"], ["greet", "--help"], ["count", "--number", 2])
    greeted, told, counted = several(site, *calls)
    assert greeted.stdout == "hello you!\n" and "Say goodbye" in told.stdout
    assert (counted.stdout, counted.returncode) == ("0 1\n", 7)


def test_one_that_is_broken_fails_alone(site: Path, tmp_path: Path) -> None:
    calls = (["broken", "--help"], ["validate", "nowhere.yaml"], ["gret"])
    done, core, typo = several(site, *calls, cwd=tmp_path)
    assert done.returncode == 3 and (tmp_path / "imported").exists()
    assert "the plugin 'broken' of o1kit-greeting 1.2" in done.stderr and "not_there_at_all" in done.stderr
    assert core.returncode == 2 and "no such file" in core.stderr
    assert typo.returncode == 2 and "`o1kit greet`" in typo.stderr
