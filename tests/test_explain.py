"""`o1kit explain`: values, where they were written, what they may be; and what two recipes do differently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from o1kit.cli import main
from o1kit.errors import RecipeError
from o1kit.explain.diff import differences
from o1kit.explain.resolved import Resolved, resolve
from o1kit.explain.text import lines, told
from o1kit.explain.written import full
from o1kit.recipe.loader import load_recipe
from tests.distributions import o1kit as installed
from tests.distributions import twice
from tests.recipe.test_loader import GOOD, RECIPES
from tests.test_cli import NO_TORCH, o1kit


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return path


def place(path: Path, text: str, value: str) -> str:
    """Where a value is written, found by looking for the text around it."""
    at = GOOD.index(text) + text.index(value)
    line = GOOD.count("\n", 0, at)
    return f"{path}:{line + 1}:{at - GOOD.rfind(chr(10), 0, at)}"


def test_a_value_its_place_type_range_and_documentation(good: Path) -> None:
    recipe = resolve(good)
    found = told(recipe, recipe.find("stages.ppo.loss.clip_ratio"))
    assert found["value"] == 0.2
    assert found["origin"] == place(good, "clip_ratio: 0.2", "0.2")
    assert (found["type"], found["range"], found["unit"], found["default"]) == ("number", "> 0", "number", 0.2)
    assert found["documentation"] == "Half-width of the trust region of the probability ratio."
    text = "\n".join(lines(recipe, recipe.find("stages[2].loss.clip_ratio")))
    assert all(part in text for part in ("= 0.2", found["origin"], "number, > 0", "Half-width"))


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("grading.memory_mb", "MiB"),
        ("grading.timeout_s", "seconds"),
        ("stages.sft.steps", "optimizer steps"),
        ("model.context_length", "tokens"),
        ("stages.ppo.max_seconds", "seconds"),
        ("stages.eval.pass_at", "count"),
        ("stages.sft.optimizer.betas", "share"),
        ("name", ""),
        ("stages.ppo.search", ""),
    ],
)
def test_a_number_is_told_with_its_unit(good: Path, path: str, unit: str) -> None:
    recipe = resolve(good)
    entry = recipe.find(path)
    assert told(recipe, entry)["unit"] == unit
    assert (f"  unit     {unit}" in lines(recipe, entry)) == bool(unit)


def test_defaults_sets_and_what_is_below_a_set_section(good: Path) -> None:
    text = "stages.ppo.search={kind: beam, num_beams: 6}"
    recipe = resolve(good, [text])
    assert recipe.find("stages.ppo.loss.gamma").origin == "default"
    assert recipe.find("stages.ppo.search.num_beams").value == 6
    assert recipe.find("stages.ppo.search.num_beams").origin == f"--set {text}"
    assert recipe.find("stages.ppo.search.temperature").origin == "default"
    assert recipe.find("seed").origin == "default"


def test_a_union_lists_its_kinds_and_marks_the_chosen_one(good: Path) -> None:
    recipe = resolve(good)
    shown = lines(recipe, recipe.find("stages.ppo.search"))
    assert any(line.startswith("  * mcts ") and "tree search" in line for line in shown)
    assert any(line.startswith("    beam ") for line in shown)
    assert set(told(recipe, recipe.find("stages.ppo.search"))["kinds"]) >= {"greedy", "beam", "mcts", "cfr"}


def test_a_section_that_is_not_set_is_described_nevertheless(good: Path) -> None:
    recipe = resolve(good)
    assert recipe.find("stages.ppo.lora").value is None
    shown = "\n".join(lines(recipe, recipe.find("stages.ppo.lora.rank")))
    assert "= 16" in shown and "not in use: stages.ppo.lora is not set" in shown


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("stages.ppo.serch", "stages.ppo has no 'serch'. Did you mean 'search'?"),
        ("stages.pppo", "stages has no 'pppo'. Did you mean 'ppo'?"),
        ("stages[9]", "Choose one of: sft, prm, ppo, eval."),
        ("clip_ratio", "There is stages.ppo.loss.clip_ratio."),
        ("stages.ppo.search.num_beams", "That is a field of kind beam, and this is mcts."),
        ("stages.sft.steps.x", "It is a value: 5. Leave out .x."),
        ("sed", "Did you mean 'seed'?"),
    ],
)
def test_a_wrong_path_is_told_with_the_nearest(good: Path, path: str, hint: str) -> None:
    with pytest.raises(RecipeError) as error:
        resolve(good).find(path)
    assert hint in str(error.value)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_everything_in_a_shipped_recipe_is_found_by_its_own_path_and_documented(path: Path) -> None:
    recipe = resolve(path)
    entries = list(recipe.all())
    assert len(entries) > 100
    for entry in entries:
        name = recipe.spell(entry.path)
        assert recipe.find(name).path == entry.path
        shown = lines(recipe, entry)
        assert shown[0].startswith(name)
        inside_a_map = isinstance(entry.path[-1], int) or "params" in entry.path or entry.path[-2:-1] == ("tasks",)
        assert inside_a_map or told(recipe, entry)["documentation"], name


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_full_recipe_reads_back_as_the_same(path: Path, tmp_path: Path) -> None:
    text = "\n".join(full(resolve(path)))
    (tmp_path / path.name).write_text(text)
    assert load_recipe(tmp_path / path.name) == load_recipe(path)
    assert "# default" in text and f"# {path}:" in text


def test_awkward_words_read_back_as_the_same(tmp_path: Path) -> None:
    asked = ["on", "1e-5", "null", " a: b #c", "'x'", 'say "r"', "äß→", "~", "- a", "", "\\n", "x ", "2024-01-01", "%"]
    path, again = tmp_path / "a.yaml", tmp_path / "b.yaml"
    path.write_text(GOOD.replace("splits: [heldout]", f"splits: [heldout]\n    ask: {json.dumps(asked)}"))
    again.write_text("\n".join(full(resolve(path))))
    assert load_recipe(again) == load_recipe(path)
    assert load_recipe(again).stages[-1].ask == asked  # type: ignore[union-attr]


def diff(a: Resolved, b: Resolved, path: str = "") -> dict[str, tuple[Any, Any]]:
    rows = [one.row() for one in differences(a, b, path)]
    return {row["path"]: tuple(row[side] and row[side]["value"] for side in ("left", "right")) for row in rows}


def test_order_and_comments_are_no_difference(good: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    head, tail = GOOD.split("tasks:")
    other.write_text(f"# another\ntasks:{tail}\n{head}".replace("{clip_ratio: 0.2}", "{gamma: 1.0, clip_ratio: 2e-1}"))
    assert diff(resolve(good), resolve(other)) == {}


def test_differences_are_told_by_path_and_stage_with_both_origins(good: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    swapped = GOOD.replace("{kind: mcts, num_simulations: 4}", "{kind: beam}").replace("clip_ratio: 0.2", "gamma: 0.9")
    other.write_text(swapped.replace("  - kind: sft\n", "  - {kind: sft, name: more, steps: 1}\n  - kind: sft\n"))
    mine, theirs = resolve(good), resolve(other)
    found = diff(mine, theirs)
    assert found["stages.ppo.search.kind"] == ("mcts", "beam")
    assert found["stages.ppo.search.num_simulations"] == (4, None)
    assert found["stages.ppo.loss.gamma"] == (1.0, 0.9)
    assert found["stages.more"][0] is None and found["stages.more"][1]["steps"] == 1
    assert "stages.ppo.loss.clip_ratio" not in found  # 0.2 is the default
    assert not any(path.startswith(("stages.sft", "stages[", "tasks")) for path in found)
    assert set(diff(mine, theirs, "stages.ppo.loss")) == {"stages.ppo.loss.gamma"}
    line = next(d for d in differences(mine, theirs) if d.path == "stages.ppo.loss.gamma").line()
    at = swapped.splitlines().index("    loss: {gamma: 0.9}") + 2
    assert line == f"stages.ppo.loss.gamma: 1.0 (default) -> 0.9 ({other}:{at}:19)"


def test_another_order_of_stages_is_a_difference(tmp_path: Path) -> None:
    stages = ["  - {kind: sft, name: a, steps: 1}", "  - {kind: sft, name: b, steps: 1}"]
    for name, rows in (("x", stages), ("y", stages[::-1])):
        (tmp_path / name).write_text("\n".join([GOOD.split("stages:")[0] + "stages:", *rows]))
    found = diff(resolve(tmp_path / "x"), resolve(tmp_path / "y"))
    assert found == {"stages (order)": (["a", "b"], ["b", "a"])}


def test_the_command_imports_nothing_heavy(good: Path) -> None:
    done = o1kit("explain", good, "stages.ppo", code=NO_TORCH)
    assert done.returncode == 0, done.stderr
    assert "stages.ppo: kind ppo" in done.stdout and "judge " in done.stdout


def test_the_command_in_all_its_forms(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: object) -> str:
        assert main(["explain", str(good), *map(str, words)]) == 0
        return capsys.readouterr().out

    assert "  stages.ppo " in said()
    assert json.loads(said("seed", "--json"))["value"] == 0
    assert json.loads(said("--full", "--json"))["stages.sft.steps"] == {
        "value": 5,
        "origin": place(good, "steps: 5", "5"),
    }
    assert f"steps: 5 # {place(good, 'steps: 5', '5')}" in " ".join(said("--full").split())
    assert [row["path"] for row in json.loads(said("--set", "seed=7", "--diff", good, "--json"))] == ["seed"]
    assert "seed: 7 (--set seed=7) -> 0 (default)" in said("--set", "seed=7", "--diff", good)
    assert "stages.ppo.iterations" in said("--diff", "quickstart")
    assert main(["explain", str(good), "stages.ppo.serch"]) == 2
    assert "Did you mean 'search'?" in capsys.readouterr().err


def test_control_characters_of_a_recipe_are_written_out(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    split = '  "\\e[31m": {num_problems: 1, sources: [{kind: jsonl, path: z.jsonl, question_field: "\\e]0;x\\a"}]}\n'
    path.write_text(GOOD.replace("  heldout: {", f"{split}  heldout: {{"))
    recipe = resolve(path)
    rows = full(recipe) + [line for entry in recipe.all() for line in lines(recipe, entry)]
    assert any("\\x1b" in line for line in rows)
    assert all(line.isprintable() for line in rows)


def test_values_of_extended_files_overlays_and_the_environment(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("O1KIT_TEST_FILE", "somebody-secret")
    mine, more = tmp_path / "mine.yaml", tmp_path / "more.yaml"
    hidden = 'sources: [{kind: jsonl, path: "${env:O1KIT_TEST_FILE}"}]'
    mine.write_text(f"extends: good.yaml\nseed: 3\nstages:\n  sft: {{steps: 7}}\ntasks: {{heldout: {{{hidden}}}}}\n")
    more.write_text("stages: {sft: {batch_size: 2}}\n")
    recipe = resolve(mine, ["stages.sft.optimizer.lr=2e-5"], [more])
    origins = {name: recipe.find(f"stages.sft.{name}").origin for name in ("steps", "batch_size", "optimizer.lr")}
    assert origins["steps"] == f"{mine}:4:16"
    assert origins["batch_size"] == f"{more}:1:{more.read_text().index('2}') + 1}"
    assert origins["optimizer.lr"].startswith("--set stages.sft.optimizer.lr=2e-5")
    assert recipe.find("stages.sft.mistakes.noticed").origin == place(good, "noticed: 0.5", "0.5")
    assert [path.name for path in recipe.files] == ["good.yaml", "mine.yaml", "more.yaml"]
    shown = "\n".join(full(recipe) + [line for entry in recipe.all() for line in lines(recipe, entry)])
    assert "${env:O1KIT_TEST_FILE}" in shown and "somebody-secret" not in shown
    (tmp_path / "again.yaml").write_text("\n".join(full(recipe)))
    assert load_recipe(tmp_path / "again.yaml") == load_recipe(mine, ["stages.sft.optimizer.lr=2e-5"], [more])


def test_fields_of_plugins_are_explained_like_built_in_ones(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(GOOD.replace("{kind: best_of_n, num_samples: 4}", "{kind: twice, most_samples: 3}"))
    words = ("explain", recipe, "stages.eval.searches[0].most_samples")
    done = installed(twice(tmp_path / "site"), *words, code=NO_TORCH)
    assert done.returncode == 0, done.stderr
    assert "= 3" in done.stdout and ">= 1" in done.stdout and "Samples at most." in done.stdout
