"""Installed plugins in recipes: used like built-in kinds, imported when named, and refused at the line that names them.

Every test is a real process with real distributions on its path.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.distributions import install, o1kit, several, twice, variants
from tests.recipe.test_loader import GOOD

OLD = "{kind: best_of_n, num_samples: 4}"
TWICE_RECIPE = GOOD.replace(OLD, "{kind: twice, most_samples: 3, temperature: 0.7}")
LINE = next(i for i, line in enumerate(TWICE_RECIPE.splitlines(), 1) if "kind: twice" in line)


def recipe(folder: Path, text: str, name: str = "r.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_plugin_is_named_like_a_built_in_kind(tmp_path: Path) -> None:
    good = recipe(tmp_path, TWICE_RECIPE)
    typo = recipe(tmp_path, TWICE_RECIPE.replace("most_samples", "most_sample"), "typo.yaml")
    low = recipe(tmp_path, TWICE_RECIPE.replace("most_samples: 3", "most_samples: 0"), "low.yaml")
    near = recipe(tmp_path, GOOD.replace(OLD, "{kind: twise}"), "near.yaml")
    far = recipe(tmp_path, GOOD.replace(OLD, "{kind: quorum_of_seven}"), "far.yaml")
    site = twice(tmp_path / "site")
    files = (good, typo, low, near, far)
    valid, misspelt, bounded, meant, unknown = several(site, *(["validate", file] for file in files), light=True)
    assert valid.returncode == 0, valid.stderr
    assert {end.returncode for end in (misspelt, bounded, meant, unknown)} == {2}
    place = f"{typo}:{LINE}:23: stages[3].searches[0].most_sample: unknown key 'most_sample'."
    assert f"{place} Did you mean 'most_samples'?" in misspelt.stderr
    assert f"{low}:{LINE}:37: stages[3].searches[0].most_samples: " in bounded.stderr
    place = f"{near}:{LINE}:16: stages[3].searches[0].kind: unknown kind 'twise'."
    assert f"{place} Did you mean 'twice'?" in meant.stderr
    assert "unknown kind 'quorum_of_seven'. Choose one of: " in unknown.stderr
    assert "install a plugin that provides it" in unknown.stderr


def test_a_plugin_that_no_recipe_names_is_not_imported(tmp_path: Path) -> None:
    entries = {"searches": {"bomb": "bomb:plugin", "beam": "bomb:plugin"}, "stages": {"boom": "bomb:other"}}
    bomb = f"open({str(tmp_path / 'imported')!r}, 'w').close()\nraise SystemExit('boom')\n"
    site = install(tmp_path / "site", "bomb", entries, {"bomb.py": bomb})
    beam = GOOD.replace(OLD, "{kind: beam}")  # the built-in one, whatever is installed
    good, named = recipe(tmp_path, beam), recipe(tmp_path, TWICE_RECIPE.replace("twice", "bomb"), "named.yaml")
    for end in several(site, ["validate", good], ["plan", good]):
        assert end.returncode == 0, end.stderr
    assert not (tmp_path / "imported").exists()
    (end,) = several(site, ["validate", named])
    assert end.returncode == 2 and (tmp_path / "imported").exists()
    assert f"{named}:{LINE}:16: stages[3].searches[0].kind: the plugin 'bomb' of bomb 1.2 cannot be used" in end.stderr
    assert "SystemExit: boom" in end.stderr and "pip install --upgrade bomb" in end.stderr


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
    """All of them in one recipe: every fault is told at once. Two packages with one name are one more."""
    site = twice(variants(tmp_path / "site", {name: (old, new) for name, (old, new, _) in BROKEN.items()}))
    told = "    @property\n    def judge(self):\n        return 1 / 0\n"
    variants(site, {"faulty": ("    most_samples: Count = 4\n", f"{told}    most_samples: Count = 4\n")})
    install(site, "o1kit-other", {"searches": {"twice": "twice_search:plugin"}}, {})
    lines = "".join(f"      - {{kind: {name}}}\n" for name in [*BROKEN, "twice", "faulty"])
    wrong = recipe(tmp_path, GOOD.replace(f"      - {OLD}\n", lines), "wrong.yaml")
    other, end = several(site, ["validate", recipe(tmp_path, GOOD)], ["validate", wrong])
    assert other.returncode == 0, other.stderr
    assert end.returncode == 2, end.stdout
    for i, (name, (_, _, words)) in enumerate(BROKEN.items()):
        place = f"{wrong}:{LINE + i}:16: stages[3].searches[{i}].kind"
        found = next(line for line in end.stderr.splitlines() if place in line)
        assert f"the plugin {name!r} of pkg-{name} 1.2 cannot be used: " in found
        assert words in found and f"pip install --upgrade pkg-{name}" in found
    place = f"{wrong}:{LINE + len(BROKEN) + 1}:16: stages[3].searches[{len(BROKEN) + 1}].kind"
    assert f"{place}: pkg-faulty 1.2 failed to check this section: ZeroDivisionError" in end.stderr
    assert "o1kit-other 1.2 and o1kit-twice 1.2 both register 'twice' in o1kit.searches" in end.stderr


def test_the_schema_lists_installed_kinds(tmp_path: Path) -> None:
    calls = (["schema"], ["schema", "--no-plugins"], ["schema", "--out", tmp_path / "schema.json"])
    shown, without, written = several(twice(tmp_path / "site"), *calls, light=True)
    section = json.loads(shown.stdout)["$defs"]["TwiceConfig"]["properties"]["most_samples"]
    assert (section["anyOf"][0]["minimum"], section["description"]) == (1, "Samples at most.")
    definitions = json.loads(without.stdout)["$defs"]
    assert "TwiceConfig" not in definitions and "BestOfNConfig" in definitions
    assert written.returncode == 0 and (tmp_path / "schema.json").read_text() == shown.stdout


SHOUT = {"shouting.py": "from o1kit.plugin import Plugin\nshout = Plugin(1, None, dict)\n"}
TAUGHT = """
import json, sys
from pathlib import Path
from o1kit.plan import compile_recipe
from o1kit.recipe.loader import load_recipe
from o1kit.sharing.inputs import plugin_versions
recipes = [load_recipe(Path(file)) for file in sys.argv[1:]]
print(json.dumps([[plugin_versions(r), [s.fingerprint for s in compile_recipe(r).stages]] for r in recipes]))
"""


def test_another_version_of_a_teacher_is_another_stage(tmp_path: Path) -> None:
    named = "{kind: reasoning_gym, generator: chain_sum, teacher: shout}"
    found = "{kind: reasoning_gym, generator: basic_arithmetic}"
    own = "{kind: reasoning_gym, generator: chain_sum}"
    files = [
        recipe(tmp_path, re.sub(r"sources: \[.*\]", f"sources: [{source}]", GOOD), f"{i}.yaml")
        for i, source in enumerate([named, found, own])
    ]
    told = []
    for version in ("1.2", "1.3"):
        entries = {"teachers": {"shout": "shouting:shout", "basic_arithmetic": "shouting:shout"}}
        site = install(tmp_path / version, "shouting", entries, SHOUT, version)
        done = o1kit(site, *files, code=TAUGHT)
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout))
        assert [versions for versions, _ in told[-1]] == [{"shouting": version}] * 2 + [{}]
    for old, new in zip(*told, strict=True):
        same = [a == b for a, b in zip(old[1], new[1], strict=True)]
        assert same == [old[0] == {}] * len(same)


READS = """
from typing import Literal
from o1kit.config import FilePath
from o1kit.plugin import Plugin
from o1kit.tasks.config import SourceSection

class Lines(SourceSection):
    kind: Literal["lines"]
    file: FilePath

plugin = Plugin(1, Lines, dict)
print("imported")
"""
IDENTITY = """
import sys
from pathlib import Path
from o1kit.identity import Identities
from o1kit.plan import compile_recipe
from o1kit.recipe.loader import load_recipe
home = Path(sys.argv[1])
plan = compile_recipe(load_recipe(home / "r.yaml"))
def data():
    return Identities(plan, home).of(plan.stages[0], {})["data"]
absent = data()
(home / "x").write_text("a")
first = data()
(home / "x").write_text("b")
second = data()
(home / "x").unlink()
(home / "x").mkdir()
(home / "x" / "y").write_text("a")
third = data()
(home / "x" / "y").write_text("b")
assert "x" in first
assert len({str(d) for d in (absent, first, second, third, data())}) == 5
"""


def test_what_a_plugin_reads_is_part_of_a_stage_and_what_it_prints_goes_to_stderr(tmp_path: Path) -> None:
    text = re.sub(r"sources: \[.*\]", "sources: [{kind: lines, file: x}]", GOOD)
    file = recipe(tmp_path, text)
    site = install(tmp_path / "site", "lines", {"tasks": {"lines": "lines:plugin"}}, {"lines.py": READS})
    done = o1kit(site, tmp_path, code=IDENTITY)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, "imported" in done.stderr) == ("", True)
    (end,) = several(site, ["validate", file, "--json"])
    assert json.loads(end.stdout)["valid"] is True and "imported" in end.stderr
