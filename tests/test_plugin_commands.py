"""`o1kit plugins list | check`: what is installed, without importing it; what is wrong with it, by importing it."""

from __future__ import annotations

from pathlib import Path

from tests.distributions import install, o1kit, twice, variants
from tests.test_cli import NO_TORCH

ENTRY = {"searches": {"twice": "twice_search:plugin"}}


def test_the_list_tells_what_is_installed_without_importing_it(tmp_path: Path) -> None:
    site = twice(tmp_path)
    bomb = {"bomb.py": "raise SystemExit('imported')\n"}
    install(site, "thief", {"searches": {"beam": "bomb:plugin", "fuse": "bomb:plugin"}}, bomb, version="0.3")
    install(site, "other", {"searches": {"twice": "bomb:plugin"}}, {})
    done = o1kit(site, "plugins", "list", code=NO_TORCH)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["searches", "beam", "built-in"] in lines
    assert ["searches", "fuse", "thief", "0.3", "installed"] in lines
    assert any(line[:4] == ["searches", "beam", "thief", "0.3"] and "built-in" in line for line in lines)
    assert "refused: o1kit-twice 1.2 has the same name" in done.stdout
    assert o1kit(site, "plugins").stdout == done.stdout  # the same command, as it was called before


BROKEN = {
    "old": ("api=1", "api=0", "it was made for plugin API 0, and this o1kit has 1"),
    "lost": ("twice_search.search:Twice", "twice_search.search:Thrice", "m_lost.search:Thrice' cannot be imported"),
    "thing": ("twice_search.search:Twice", "twice_search.search:numpy", "is a module, which cannot be called"),
    "refused": ("most_samples: Count = 4", "most_samples: Count = 0", "the default of most_samples is refused"),
    "bare": ('    """Samples at most."""\n', "", "TwiceConfig.most_samples has no docstring under it"),
    "silent": ('    """Samples until one answer has come up twice."""\n', "", "class TwiceConfig has no docstring"),
    "both": ('Literal["twice"]', 'Literal["one", "two"]', "and has 'one', 'two'"),
}


def test_check_says_what_is_wrong(tmp_path: Path) -> None:
    site = twice(variants(tmp_path, {name: (old, new) for name, (old, new, _) in BROKEN.items()}))
    done = o1kit(site, "plugins", "check")
    assert done.returncode == 3, done.stdout
    assert f"{len(BROKEN)} plugins cannot be used" in done.stderr and "Traceback" not in done.stderr
    for name, (_, _, words) in BROKEN.items():
        _, _, after = done.stdout.partition(f"FAIL  o1kit.searches: {name}  (pkg-{name} 1.2")
        assert words in after.splitlines()[1]
    assert "ok  o1kit.searches: twice  (o1kit-twice 1.2, API 1)" in done.stdout
    alone = o1kit(site, "plugins", "check", "o1kit-twice")
    assert alone.returncode == 0 and alone.stdout.count("\n") == 1


def test_check_finds_names_that_are_taken(tmp_path: Path) -> None:
    site = twice(tmp_path)
    install(site, "thief", {"searches": {"beam": "bomb:plugin"}}, {"bomb.py": "raise SystemExit('imported')\n"})
    install(site, "other", ENTRY, {})
    done = o1kit(site, "plugins", "check")
    assert done.returncode == 3
    assert "'beam' is a built-in name" in done.stdout
    assert done.stdout.count("has the same name in this group") == 2
    unknown = o1kit(site, "plugins", "check", "twise")
    assert unknown.returncode == 2 and "Did you mean 'twice'?" in unknown.stderr
