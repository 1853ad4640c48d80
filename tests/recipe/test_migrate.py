"""Older recipes: the fault that tells the new name, and the file rewritten with nothing else changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1kit.cli.recipe_migrate import migrate
from o1kit.errors import RecipeError
from o1kit.recipe import migrate as migrating
from o1kit.recipe.loader import load
from o1kit.recipe.migrate import RENAMED, migrated

OLD = """\
# A recipe of before.
o1kit: 1
name: old   # its name
model: {kind: scratch}
tasks:
  train: {num_problems: 10, sources: [{kind: reasoning_gym, generator: chain_sum}]}
  heldout: {num_problems: 5, sources: [{kind: reasoning_gym, generator: chain_sum}]}
stages:
  - {kind: sft, name: sft}
  - {kind: prm, name: prm, policy: sft, labels: {kind: monte_carlo}}   # prm: stays
  - kind: ppo
    name: ppo
    policy: sft
    "prm":  prm   # what judges
    search:
      kind: mcts
      leaf_value: 'prm'
  - kind: evaluate
    name: evaluate
    policies: [sft]
    prm: prm
    searches:
      - {kind: best_of_n, scored_by: prm, select: best}   # one
      - {kind: cfr, mode: {kind: critic, judge: prm}}
      - {kind: self_refine, algorithm: {kind: mctsr, score: {kind: prm}}}
"""
NEW = """\
# A recipe of before.
o1kit: 1
name: old   # its name
model: {kind: scratch}
tasks:
  train: {num_problems: 10, sources: [{kind: reasoning_gym, generator: chain_sum}]}
  heldout: {num_problems: 5, sources: [{kind: reasoning_gym, generator: chain_sum}]}
stages:
  - {kind: sft, name: sft}
  - {kind: prm, name: prm, policy: sft, labels: {kind: monte_carlo}}   # prm: stays
  - kind: ppo
    name: ppo
    policy: sft
    "judge":  prm   # what judges
    search:
      kind: mcts
      leaf_value: 'judge'
  - kind: evaluate
    name: evaluate
    policies: [sft]
    judge: prm
    searches:
      - {kind: best_of_n, scored_by: judge, select: best}   # one
      - {kind: cfr, mode: {kind: critic, judge: judge}}
      - {kind: self_refine, algorithm: {kind: mctsr, score: {kind: judge}}}
"""


def test_the_fault_tells_the_new_name_and_the_command_makes_the_recipe_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.yaml").write_text(OLD)
    with pytest.raises(RecipeError) as caught:
        load(Path("old.yaml"))
    lines = [line for line in str(caught.value).splitlines() if line.startswith("old.yaml:")]
    rows = OLD.splitlines()
    words = {14: '"prm"', 17: "'prm'", 21: "prm: prm", 23: "prm", 24: "prm", 25: "prm"}
    assert [line.split(": ")[0] for line in lines] == [
        f"old.yaml:{number}:{rows[number - 1].index(word) + 1}" for number, word in words.items()
    ]
    assert lines[0] == (
        "old.yaml:14:5: stages[2].prm: `prm` is now called `judge`: it names reward models of every kind. "
        "Run: o1kit recipe migrate old.yaml --in-place"
    )
    migrate(Path("old.yaml"))
    shown = capsys.readouterr()
    assert shown.out == NEW
    assert Path("old.yaml").read_text() == OLD, "shown only"
    migrate(Path("old.yaml"), in_place=True)
    assert Path("old.yaml").read_text() == NEW
    assert "old.yaml:23:38: prm -> judge" in capsys.readouterr().out
    assert load(Path("old.yaml")).recipe.stages[2].judge == "prm"
    migrate(Path("old.yaml"), in_place=True)
    assert capsys.readouterr().out == "old.yaml: nothing to change\n"
    assert Path("old.yaml").read_text() == NEW


def test_overlays_and_windows_files_are_rewritten_too() -> None:
    text = "extends: base.yaml\r\nstages:\r\n  ppo: {prm: x, search: !replace {kind: mcts, leaf_value: prm}}\r\n"
    text += "+stages: [{kind: rollout, name: r, prm: y}]\r\n"
    assert migrated(text, "o.yaml")[0] == text.replace("prm: ", "judge: ").replace(": prm", ": judge")


def test_what_is_no_recipe_is_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("stages: [")
    with pytest.raises(RecipeError, match="not valid YAML"):
        migrate(path, in_place=True)
    assert path.read_text() == "stages: ["


def test_an_option_with_an_old_name_is_told_to_change(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    path.write_text(NEW)
    with pytest.raises(RecipeError, match=r"--set stages\.ppo\.prm=x: .*now called `judge`.*Write the new name"):
        load(path, ["stages.ppo.prm=x"])


CONSTANT = NEW.replace("    search:\n      kind: mcts\n", "    search:\n      kind: mcts\n      c_puct: 3   # old\n")


def test_the_constant_of_puct_is_told_and_moved_into_its_section(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(CONSTANT)
    row = CONSTANT.splitlines().index("      c_puct: 3   # old") + 1
    with pytest.raises(RecipeError) as caught:
        load(path)
    assert str(caught.value).startswith(
        f"{path}:{row}:7: stages[2].search.c_puct: `c_puct` is now called `selection: {{kind: puct, c: ...}}`: it is "
        f"the constant of one rule among others. Run: o1kit recipe migrate {path} --in-place"
    )
    assert str(caught.value).count("c_puct: ") == 2, "told once, and shown in its line"
    text, changes, left = migrated(CONSTANT, "old.yaml")
    assert left == []
    assert text == CONSTANT.replace("c_puct: 3   #", "selection: {kind: puct, c: 3}   #")
    assert changes == [(f"old.yaml:{row}:7", "c_puct", "selection: {kind: puct, c: 3}")]
    path.write_text(text)
    assert load(path).recipe.stages[2].search.selection.c == 3.0
    with pytest.raises(RecipeError, match=r"--set stages\.ppo\.search\.c_puct=3: .*Write the new name"):
        load(path, ["stages.ppo.search.c_puct=3"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "stages: {a: {search: {'c_puct': \"3\", x: 1}}}",
            "stages: {a: {search: {'selection': {kind: puct, c: \"3\"}, x: 1}}}",
        ),
        (
            "stages: [{searches: [{kind: mcts, c_puct: 1e0}]}]",
            "stages: [{searches: [{kind: mcts, selection: {kind: puct, c: 1e0}}]}]",
        ),
        ("stages: [{searches: [{kind: other, c_puct: 1}]}]", ""),
        ("stages: [{source: {kind: omega, c_puct: 1}}]", ""),
        ("stages: [{search: {kind: mcts, c_puct: 1, selection: {kind: uct}}}]", ""),
        ("stages: [{search: {kind: mcts, c_puct: }}]", ""),
    ],
)
def test_the_constant_is_moved_only_where_it_is_that_of_puct(old: str, new: str) -> None:
    assert migrated(old, "o.yaml")[0] == (new or old)


def test_the_constant_beside_a_selection_is_to_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(CONSTANT.replace("c_puct: 3 ", "selection: {kind: uct}\n      c_puct: 3 "))
    with pytest.raises(RecipeError, match=r"`selection` is there too\. Remove the old name\."):
        load(path)


@pytest.mark.parametrize(
    ("version", "told"),
    [("2", "Upgrade o1kit"), ("0", "Write o1kit: 1"), ("one", "Write o1kit: 1"), ("true", "Write o1kit: 1")],
)
def test_a_recipe_of_another_format_is_not_rewritten(version: str, told: str) -> None:
    with pytest.raises(RecipeError, match=rf"old\.yaml:2:8: o1kit: .*{told}"):
        migrated(OLD.replace("o1kit: 1", f"o1kit: {version}"), "old.yaml")


def test_an_old_key_beside_the_new_one_stays_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "old.yaml"
    both = OLD.replace("    prm: prm\n", "    prm: prm\n    judge: other\n")
    path.write_text(both)
    with pytest.raises(RecipeError, match=r"`prm` is now called .* `judge` is there too\. Remove the old name\."):
        load(path)
    migrate(path, in_place=True)
    assert path.read_text() == NEW.replace("    judge: prm\n", "    prm: prm\n    judge: other\n")
    row = OLD.splitlines().index("    prm: prm") + 1
    told = "`prm`, now called `judge`, stays: `judge` is there too. Remove one of them."
    assert f"{path}:{row}:5: {told}\n" in capsys.readouterr().out
    migrate(path, in_place=True)
    assert told in capsys.readouterr().out, "and told again, with nothing to change"


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        ("- {prm: &a prm, search: {scored_by: *a}}", "- {judge: &a prm, search: {scored_by: *a}}", 1),
        ("- {search: {scored_by: &a prm}, prm: *a}", "- {search: {scored_by: &a prm}, judge: *a}", 1),
        ("- {name: &prm prm}\n- {search: {scored_by: *prm}}", "- {name: &prm prm}\n- {search: {scored_by: *prm}}", 1),
        ("- {searches: [{judge: &prm prm}, {judge: *prm}]}", "- {searches: [{judge: &prm judge}, {judge: *prm}]}", 0),
        ("- {search: &s {judge: prm}}\n- {search: *s}", "- {search: &s {judge: judge}}\n- {search: *s}", 0),
        ("- {search: &s {judge: prm}}\n- {other: *s}", "- {search: &s {judge: prm}}\n- {other: *s}", 1),
        ('- {search: {judge: "p\\x72m"}}', '- {search: {judge: "p\\x72m"}}', 1),
        ("- {n: &c 3, search: {c_puct: *c}}", "- {n: &c 3, search: {c_puct: *c}}", 1),
        ("- {search: {c_puct: &c 3}, n: *c}", "- {search: {c_puct: &c 3}, n: *c}", 1),
    ],
)
def test_what_an_alias_uses_elsewhere_stays_as_it_is_and_is_told(old: str, new: str, left: int) -> None:
    text, _, told = migrated(f"stages:\n{old}\n", "o.yaml")
    assert text == f"stages:\n{new}\n"
    assert len(told) == left and all(line.startswith("o.yaml:") for line in told)


def test_nothing_is_written_that_could_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(OLD)
    monkeypatch.setattr(migrating, "RENAMED", (RENAMED[0]._replace(new="policy: sft"), *RENAMED[1:]))
    with pytest.raises(RecipeError, match=r"old\.yaml: cannot be rewritten: .*Change it by hand\.\n.*not valid YAML"):
        migrate(path, in_place=True)
    assert path.read_text() == OLD
