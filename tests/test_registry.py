"""Kinds: built-in ones all load, unknown ones come with a suggestion, installed packages add their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1kit.errors import RecipeError
from o1kit.registry import BUILTIN, lookup, names, origin, suggestion
from tests.distributions import install, o1kit


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
    made = """
from o1kit.plugin import Plugin
class Shout:
    phrases = ("!",)
shout = Plugin(1, None, Shout)
"""
    entries = {"teachers": {"shout": "shouting:shout", "lost": "shouting_not_here:X"}}
    site = install(tmp_path, "shouting", entries, {"shouting.py": made})
    code = """
import sys
from o1kit import registry
from o1kit.errors import EnvironmentFailure
assert "shout" in registry.names("teachers")
assert registry.origin("teachers", "shout") == "shouting 1.2"
assert "shouting" not in sys.modules
assert registry.lookup("teachers", "shout")().phrases == ("!",)
try:
    registry.lookup("teachers", "lost")
except EnvironmentFailure as error:
    assert "cannot be imported" in str(error)
else:
    raise AssertionError
"""
    done = o1kit(site, code=code)
    assert done.returncode == 0, done.stderr
