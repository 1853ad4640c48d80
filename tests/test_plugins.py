"""Installed plugins in recipes: used like built-in kinds, imported when named, and refused at the line that names them.

Every test is a real process with real distributions on its path.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.distributions import install, o1kit, twice, variants
from tests.recipe.test_loader import GOOD
from tests.test_cli import NO_TORCH

TWICE_RECIPE = GOOD.replace("{kind: best_of_n, num_samples: 4}", "{kind: twice, most_samples: 3, temperature: 0.7}")
LINE = next(i for i, line in enumerate(TWICE_RECIPE.splitlines(), 1) if "kind: twice" in line)


def recipe(folder: Path, text: str) -> Path:
    path = folder / "r.yaml"
    path.write_text(text)
    return path


def test_a_plugin_is_named_like_a_built_in_kind(tmp_path: Path) -> None:
    site = twice(tmp_path / "site")
    done = o1kit(site, "validate", recipe(tmp_path, TWICE_RECIPE), code=NO_TORCH)
    assert done.returncode == 0, done.stderr
    refused = o1kit(site, "validate", recipe(tmp_path, TWICE_RECIPE.replace("most_samples", "most_sample")))
    assert refused.returncode == 2
    place = f"{tmp_path}/r.yaml:{LINE}:23: stages[3].searches[0].most_sample: unknown key 'most_sample'."
    assert f"{place} Did you mean 'most_samples'?" in refused.stderr
    wrong = o1kit(site, "validate", recipe(tmp_path, TWICE_RECIPE.replace("most_samples: 3", "most_samples: 0")))
    assert wrong.returncode == 2
    assert "stages[3].searches[0].most_samples: " in wrong.stderr and "greater than or equal to 1" in wrong.stderr


def test_names_of_plugins_are_suggested(tmp_path: Path) -> None:
    site = twice(tmp_path / "site")
    text = GOOD.replace("{kind: best_of_n, num_samples: 4}", "{kind: twise}")
    done = o1kit(site, "validate", recipe(tmp_path, text))
    assert f"r.yaml:{LINE}:16: stages[3].searches[0].kind: unknown kind 'twise'. Did you mean 'twice'?" in done.stderr
    alone = o1kit(tmp_path, "validate", recipe(tmp_path, TWICE_RECIPE.replace("twice", "quorum")))
    assert alone.returncode == 2
    assert "unknown kind 'quorum'" in alone.stderr and "install a plugin that provides it" in alone.stderr


def test_a_plugin_that_no_recipe_names_is_not_imported(tmp_path: Path) -> None:
    entries = {"searches": {"bomb": "bomb:plugin"}, "stages": {"boom": "bomb:other"}}
    bomb = f"open({str(tmp_path / 'imported')!r}, 'w').close()\nraise SystemExit('boom')\n"
    site = install(tmp_path / "site", "bomb", entries, {"bomb.py": bomb})
    for command in ("validate", "plan"):
        done = o1kit(site, command, recipe(tmp_path, GOOD))
        assert done.returncode == 0, done.stderr
    assert "bomb" in o1kit(site, "plugins", "list").stdout
    assert not (tmp_path / "imported").exists()
    named = o1kit(site, "validate", recipe(tmp_path, TWICE_RECIPE.replace("twice", "bomb")))
    assert named.returncode == 2 and (tmp_path / "imported").exists()
    assert f"r.yaml:{LINE}:16: stages[3].searches[0].kind: the plugin 'bomb' of bomb 1.2 cannot be used" in named.stderr
    assert "SystemExit: boom" in named.stderr and "pip install --upgrade bomb" in named.stderr
    assert "Traceback" not in named.stderr


BROKEN = {
    "absent": ("", "import not_there_at_all\n", "ModuleNotFoundError: No module named 'not_there_at_all'"),
    "syntax": ("", "plugin = (\n", "SyntaxError"),
    "empty": ("", "other = 1\n", "AttributeError"),
    "number": ("", "plugin = 7\n", "its entry point is a int, not an `o1kit.plugin.Plugin`"),
    "future": ("api=1", "api=99", "it was made for plugin API 99, and this o1kit has 1"),
    "another": ('Literal["twice"]', 'Literal["thrice"]', "kind: Literal[\"another\"]`, and has 'thrice'"),
    "kindless": ('kind: Literal["twice"]', "sort: int", "and has none"),
    "baseless": ("config=TwiceConfig", "config=dict", "no subclass of `o1kit.search.section.SearchSection`"),
    "placeless": ("twice_search.search:Twice", "twice_search.search", "its `factory` is neither"),
}


def test_broken_plugins_are_faults_at_the_lines_that_name_them(tmp_path: Path) -> None:
    """All of them in one recipe: every fault is told at once."""
    site = variants(tmp_path / "site", {name: (old, new) for name, (old, new, _) in BROKEN.items()})
    lines = "".join(f"      - {{kind: {name}}}\n" for name in BROKEN)
    text = GOOD.replace("      - {kind: best_of_n, num_samples: 4}\n", lines)
    done = o1kit(site, "validate", recipe(tmp_path, text))
    assert done.returncode == 2, done.stdout
    for i, (name, (_, _, words)) in enumerate(BROKEN.items()):
        place = f"{tmp_path}/r.yaml:{LINE + i}:16: stages[3].searches[{i}].kind"
        found = next(line for line in done.stderr.splitlines() if place in line)
        assert f"the plugin {name!r} of pkg-{name} 1.2 cannot be used: " in found
        assert words in found and f"pip install --upgrade pkg-{name}" in found
    assert "Traceback" not in done.stderr


def test_two_packages_with_one_name_are_refused_when_it_is_used(tmp_path: Path) -> None:
    site = twice(tmp_path / "site")
    install(site, "o1kit-other", {"searches": {"twice": "twice_search:plugin"}}, {})
    assert o1kit(site, "validate", recipe(tmp_path, GOOD)).returncode == 0
    done = o1kit(site, "validate", recipe(tmp_path, TWICE_RECIPE))
    assert done.returncode == 2
    assert "o1kit-other 1.2 and o1kit-twice 1.2 both register 'twice' in o1kit.searches" in done.stderr


def test_built_in_names_cannot_be_taken(tmp_path: Path) -> None:
    bomb = {"thief.py": "raise SystemExit('imported')\n"}
    site = install(tmp_path / "site", "thief", {"searches": {"best_of_n": "thief:plugin"}}, bomb)
    assert o1kit(site, "validate", recipe(tmp_path, GOOD)).returncode == 0


def test_the_schema_lists_installed_kinds(tmp_path: Path) -> None:
    site = twice(tmp_path / "site")
    done = o1kit(site, "schema", code=NO_TORCH)
    assert done.returncode == 0, done.stderr
    section = json.loads(done.stdout)["$defs"]["TwiceConfig"]["properties"]["most_samples"]
    assert (section["anyOf"][0]["minimum"], section["description"]) == (1, "Samples at most.")
    without = json.loads(o1kit(site, "schema", "--no-plugins").stdout)
    assert "TwiceConfig" not in without["$defs"] and "BestOfNConfig" in without["$defs"]
    written = o1kit(site, "schema", "--out", tmp_path / "schema.json")
    assert written.returncode == 0 and (tmp_path / "schema.json").read_text() == done.stdout
