"""`o1kit plugins list | check`: what is installed, without importing it; what is wrong with it, by importing it."""

from __future__ import annotations

from pathlib import Path

from tests.distributions import install, several, twice, variants

ENTRY = {"searches": {"twice": "twice_search:plugin"}}


def test_the_list_tells_what_is_installed_without_importing_it(tmp_path: Path) -> None:
    site = twice(tmp_path)
    bomb = {"bomb.py": "raise SystemExit('imported')\n"}
    install(site, "thief", {"searches": {"beam": "bomb:plugin", "fuse": "bomb:plugin"}}, bomb, version="0.3")
    install(site, "other", {"searches": {"twice": "bomb:plugin"}}, {})
    done, short = several(site, ["plugins", "list"], ["plugins"], light=True)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["searches", "beam", "built-in"] in lines
    assert ["searches", "fuse", "thief", "0.3", "installed"] in lines
    assert any(line[:4] == ["searches", "beam", "thief", "0.3"] and "built-in" in line for line in lines)
    assert "refused: o1kit-twice 1.2 has the same name" in done.stdout
    assert short.stdout == done.stdout


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
    done, alone = several(site, ["plugins", "check"], ["plugins", "check", "o1kit-twice"])
    assert done.returncode == 3, done.stdout
    assert f"{len(BROKEN)} plugins cannot be used" in done.stderr
    for name, (_, _, words) in BROKEN.items():
        _, _, after = done.stdout.partition(f"FAIL  o1kit.searches: {name}  (pkg-{name} 1.2")
        assert words in after.splitlines()[1]
    assert "ok  o1kit.searches: twice  (o1kit-twice 1.2, API 1)" in done.stdout
    assert alone.returncode == 0 and alone.stdout.count("\n") == 1


def test_check_finds_names_that_are_taken(tmp_path: Path) -> None:
    site = twice(tmp_path)
    install(site, "thief", {"searches": {"beam": "bomb:plugin"}}, {"bomb.py": "raise SystemExit('imported')\n"})
    install(site, "other", ENTRY, {})
    done, unknown = several(site, ["plugins", "check"], ["plugins", "check", "twise"])
    assert done.returncode == 3
    assert "'beam' is a built-in name" in done.stdout
    assert done.stdout.count("has the same name in this group") == 2
    assert unknown.returncode == 2 and "Did you mean 'twice'?" in unknown.stderr
