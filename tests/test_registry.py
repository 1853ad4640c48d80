"""Kinds: built-in ones all load, unknown ones come with a suggestion, installed packages add their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from o1kit.errors import RecipeError
from o1kit.registry import BUILTIN, lookup, names, origin, suggestion


@pytest.mark.parametrize(("group", "kind"), [(group, kind) for group, kinds in BUILTIN.items() for kind in kinds])
def test_every_built_in_kind_can_be_loaded(group: str, kind: str) -> None:
    assert callable(lookup(group, kind))
    assert origin(group, kind) == "built-in"
    assert kind in names(group)


def test_an_unknown_kind_comes_with_the_nearest_one() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'mcts'"):
        lookup("searches", "mtcs")
    assert suggestion("zzz", ["a", "b"]) == " Choose one of: a, b."


def test_an_installed_package_adds_a_kind(tmp_path: Path) -> None:
    """A real distribution on the path, in a process of its own: found by name, imported only when it is looked up."""
    info = tmp_path / "shouting-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[o1kit.teachers]\nshout = shouting:Shout\nlost = shouting_not_here:X\n")
    (tmp_path / "shouting.py").write_text("class Shout:\n    phrases = ('!',)\n")
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from o1kit import registry
from o1kit.errors import EnvironmentFailure
assert "shout" in registry.names("teachers")
assert registry.origin("teachers", "shout") == "shouting 1.2"
assert "shouting" not in sys.modules
assert registry.lookup("teachers", "shout").phrases == ("!",)
try:
    registry.lookup("teachers", "lost")
except EnvironmentFailure as error:
    assert "cannot be imported" in str(error)
else:
    raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
