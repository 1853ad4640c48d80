"""A command that does not exist: the nearest is told, and that of a group with this very name."""

from __future__ import annotations

import pytest

from o1kit.cli import main


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("migrate", "Did you mean `o1kit recipe migrate`?"),
        ("migrte", "Did you mean `o1kit recipe migrate`?"),
        ("validat", "Did you mean `o1kit validate`?"),
        ("new", "Did you mean `o1kit recipe new` or `o1kit plugins new`?"),
        ("nope", "See all of them: o1kit --help"),
    ],
)
def test_the_nearest_command_is_told(word: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 2
    shown = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert f"No such command '{word}'. {told}" in shown


def test_a_wrong_option_is_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--nope"]) == 2
    assert "No such option" in capsys.readouterr().err
