"""Recipes: every fault at once, at its line and column, with the nearest valid choice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from o1kit.errors import RecipeError
from o1kit.recipe.explain import known_keys
from o1kit.recipe.loader import load, load_recipe, recipe_from
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import MAX_DEPTH, parse, scalar

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))

GOOD = """\
o1kit: 1
name: good
model:
  kind: scratch
  hidden_size: 64
  tokenizer: {kind: char, phrases: [ab]}
tasks:
  train:
    num_problems: 10
    sources:
      - {kind: reasoning_gym, generator: chain_sum, params: {min_terms: 2}}
      - {kind: jsonl, path: x.jsonl}
  heldout: {num_problems: 5, sources: [{kind: jsonl, path: y.jsonl}]}
engine: {max_batch: 8}
stages:
  - kind: sft
    name: sft
    steps: 5
    optimizer: {lr: 1e-5}
    mistakes: {noticed: 0.5}
    lora: {rank: 4}
  - kind: prm
    name: prm
    policy: sft
    labels: {kind: monte_carlo, chains: 2}
  - kind: ppo
    name: ppo
    policy: sft
    judge: prm
    reward:
      kind: mixture
      of:
        - {kind: verifier}
        - {kind: prm, model: prm, weight: 0.5}
    search: {kind: mcts, num_simulations: 4}
    replay: {kind: prioritized, alpha: 0.6}
    loss: {clip_ratio: 0.2}
  - kind: evaluate
    name: eval
    policies: [sft, ppo]
    judge: prm
    searches:
      - {kind: best_of_n, num_samples: 4}
      - kind: greedy
    splits: [heldout]
tracking: {wandb: {mode: disabled}}
"""


def fails(text: str, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        recipe_from(parse(text, "r.yaml"), overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def sections(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every mapping in the good recipe that has fixed keys."""
    found = []
    if isinstance(value, dict):
        if path not in (("tasks",), ("tasks", "train", "sources", 0, "params")):
            found.append(path)
        for key, item in value.items():
            found += sections(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            found += sections(item, (*path, i))
    return found


DATA = YAML(typ="safe", pure=True).load(GOOD)
SECTIONS = sections(DATA)


def test_good_recipe_and_its_defaults() -> None:
    recipe = recipe_from(parse(GOOD, "r.yaml"))
    assert recipe.stages[0].optimizer.lr == 1e-5
    assert recipe.seed == 0
    assert [stage.name for stage in recipe.stages] == ["sft", "prm", "ppo", "eval"]


def test_the_good_recipe_has_sections_of_every_depth() -> None:
    assert {len(path) for path in SECTIONS} >= {0, 1, 2, 3, 4}
    assert len(SECTIONS) > 20


@pytest.mark.parametrize("path", SECTIONS, ids=lambda p: ".".join(map(str, p)) or "top")
def test_a_typo_in_any_key_of_any_section_names_line_and_nearest_key(path: tuple[Any, ...]) -> None:
    """Each known key of each section, with a letter too many, must be found again at the line where it was put."""
    section: Any = DATA
    for part in path:
        section = section[part]
    keys = known_keys(Recipe, DATA, path)
    assert set(section) <= set(keys)
    for key in keys:
        typo = key + "q"
        text = _dump_with(path, typo)
        line = next(n for n, row in enumerate(text.splitlines(), 1) if typo in row)
        column = text.splitlines()[line - 1].index(typo) + 1
        message = next(row for row in fails(text).splitlines() if typo in row)
        assert message.startswith(f"r.yaml:{line}:{column}: ")
        near = re.search(r"Did you mean '(\w+)'", message)
        assert near is not None, message
        assert near.group(1) == key or _close(near.group(1), typo) >= _close(key, typo)


def _close(a: str, b: str) -> float:
    import difflib

    return difflib.SequenceMatcher(None, a, b).ratio() + 1e-9


def _dump_with(path: tuple[Any, ...], typo: str) -> str:
    import copy
    import io

    data = copy.deepcopy(DATA)
    section: Any = data
    for part in path:
        section = section[part]
    section[typo] = 1
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(data, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("kind: scratch", "kind: scrach", 4, "model.kind: unknown kind 'scrach'. Did you mean 'scratch'?"),
        ("kind: mcts", "kind: mtcs", 35, "stages[2].search.kind: unknown kind 'mtcs'. Did you mean 'mcts'?"),
        ("kind: verifier", "kind: verify", 33, "Did you mean 'verifier'?"),
        ("mode: disabled", "mode: offlin", 46, "tracking.wandb.mode: unknown mode 'offlin'. Did you mean 'offline'?"),
        ("steps: 5", "steps: five", 18, "stages[0].steps: input should be a valid integer, got 'five'"),
        ("steps: 5", "steps: 0", 18, "greater than or equal to 1"),
        ("noticed: 0.5", "noticed: 1.5", 20, "less than or equal to 1"),
        ("lr: 1e-5", "lr: .nan", 19, "finite number"),
        ("    steps: 5\n", "    steps: 5\n    steps: 6\n", 19, "the key 'steps' is already at r.yaml:18:5"),
        ("    policy: sft\n    labels", "    labels", 22, "stages[1].policy: is required. Stage whose model"),
        ("policy: sft\n    judge: prm", "policy: stf\n    judge: prm", 28, "no stage 'stf'. Did you mean 'sft'?"),
        (
            "policy: sft\n    judge: prm",
            "policy: ppo\n    judge: prm",
            28,
            "cannot refer to itself. Choose one of: sft.",
        ),
        ("policy: sft\n    judge: prm", "policy: eval\n    judge: prm", 28, "stage 'eval' comes later"),
        (
            "policy: sft\n    judge: prm",
            "policy: prm\n    judge: prm",
            28,
            "is of kind prm, sft or ppo or dpo is needed",
        ),
        ("policies: [sft, ppo]", "policies: [sft, pppo]", 40, "Did you mean 'ppo'?"),
        ("model: prm", "model: pmr", 34, "stages[2].reward.of[1].model: there is no stage 'pmr'. Did you mean 'prm'?"),
        ("    judge: prm\n    reward", "    reward", 34, "mcts needs a reward that judges steps"),
        ("    judge: prm\n    searches", "    searches", 42, "best_of_n needs a reward that judges steps"),
        ("splits: [heldout]", "splits: [holdout]", 45, "no split 'holdout' in tasks. Did you mean 'heldout'?"),
        ("  train:", "  trian:", 7, "tasks: needs a split `train`"),
        ("hidden_size: 64", "hidden_size: 65", 5, "must be an even multiple of num_heads (4), got 65"),
        ("hidden_size: 64", "num_kv_heads: 3", 5, "must divide num_heads (4). Choose one of: 1, 2, 4"),
        ("name: prm\n", "name: sft\n", 23, "already the name of an earlier stage"),
        ("- kind: greedy", "- {kind: best_of_n, num_samples: 4}", 44, "the same search is listed twice"),
        ("- kind: greedy", "- {kind: mcts, leaf_value: value_head}", 44, "only ppo stages have a value head"),
        ("kind: evaluate", "kind: !!python/name:os.system x", 38, "is not allowed: a recipe is plain data"),
        ("steps: 5", "steps: [", 20, "not valid YAML"),
        ("name: good", "name: ../evil", 2, "name: string should match pattern"),
        ("o1kit: 1", "o1kit: 2", 1, "Upgrade o1kit"),
    ],
)
def test_faults(old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    message = fails(GOOD.replace(old, new, 1))
    assert words in message
    assert f"r.yaml:{line}:" in next(row for row in message.splitlines() if words in row)


def test_all_faults_come_at_once() -> None:
    text = GOOD.replace("steps: 5", "stepz: 5").replace("chains: 2", "chain: 2").replace("alpha: 0.6", "alpha: -1")
    assert len([line for line in fails(text).splitlines() if line.startswith("r.yaml:")]) == 3


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "- 1\n", "word\n", "a: " + "[" * (MAX_DEPTH + 5) + "]" * (MAX_DEPTH + 5)]
)
def test_files_that_are_no_recipe(text: str) -> None:
    assert fails(text).startswith("r.yaml")


def test_aliases_cannot_blow_up() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 9) + "]" for i in range(1, 12)]
    assert "too large" in fails("\n".join(lines))


def test_numbers_and_words_of_yaml_1_2() -> None:
    assert scalar("1e-5") == 1e-5
    assert scalar("1E+3") == 1000.0
    assert scalar("-.5") == -0.5
    assert scalar("007") == 7
    assert (scalar("0o17"), scalar("0x1F"), scalar("0xfe")) == (15, 31, 254)
    words = ["0x", "0o8", "-0x1F", "0X1F", "0b1", "0x" + "f" * 100]
    assert [scalar(word) for word in words] == words
    assert recipe_from(parse(f"{GOOD}seed: 0x1F\n", "r.yaml")).seed == 31
    assert scalar("on") == "on"
    assert scalar("no") == "no"
    assert scalar("1.2.3") == "1.2.3"
    assert scalar("True") is True
    assert scalar("~") is None


def test_quotes_keep_words() -> None:
    assert parse("a: '1'\nb: \"\"\n", "x").data == {"a": "1", "b": ""}


def test_overrides_by_name_by_index_and_into_missing_sections() -> None:
    overrides = ("stages.sft.steps=7", "stages[1].labels.chains=3", "stages.ppo.optimizer.lr=2e-4", "seed=9")
    recipe = recipe_from(parse(GOOD, "r.yaml"), overrides)
    assert (recipe.stages[0].steps, recipe.stages[1].labels.chains, recipe.seed) == (7, 3, 9)  # type: ignore[union-attr]
    assert recipe.stages[2].optimizer.lr == 2e-4  # type: ignore[union-attr]
    changed = recipe_from(parse(GOOD, "r.yaml"), ["stages.eval.searches=[{kind: greedy}]"])
    assert len(changed.stages[3].searches) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stages.sft.stepz=7", "--set stages.sft.stepz=7: stages[0].stepz: unknown key 'stepz'. Did you mean 'steps'?"),
        ("stages.sfft.steps=7", "stages: has no entry 'sfft'. Did you mean 'sft'?"),
        ("stages[9].steps=7", "stages: has no entry '9'"),
        ("seed.x=1", "unknown key"),
        ("name.x=1", "holds a value, not a section"),
        ("seed", "write --set key.path=value"),
        ("seed=[", "not valid YAML"),
        ("seed=-1", "--set seed=-1: seed: input should be greater than or equal to 0"),
    ],
)
def test_faulty_overrides(override: str, words: str) -> None:
    if override == "seed.x=1":
        assert "--set seed.x=1" in fails(GOOD, override)
    else:
        assert words in fails(GOOD, override)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "quick.yaml").write_text(GOOD)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"no such file\. In .*: binary\.yaml, quick\.yaml"):
        load_recipe(tmp_path / "nothing.yaml")
    with pytest.raises(RecipeError, match=r"no such file\. Did you mean '.*/quick\.yaml'"):
        load_recipe(tmp_path / "quik.yaml")
    with pytest.raises(RecipeError, match=r"folder\. Give a recipe file, for example .*/binary\.yaml\."):
        load_recipe(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(RecipeError, match="this folder holds none"):
        load_recipe(tmp_path / "none")
    with pytest.raises(RecipeError, match="not UTF-8"):
        load_recipe(tmp_path / "binary.yaml")


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_every_shipped_recipe_loads_and_compiles(path: Path) -> None:
    from o1kit.plan import compile_recipe

    plan = compile_recipe(load_recipe(path))
    assert plan.stages
    header = path.read_text().splitlines()[:2]  # the schema for editors comes first
    assert any(line.startswith("# What:") for line in header), (
        "a recipe starts with what it is, its hardware, its command and its metric"
    )


def test_every_field_is_documented_once() -> None:
    missing = []
    for name, definition in Recipe.model_json_schema()["$defs"].items():
        missing += [f"{name}.{key}" for key, field in definition["properties"].items() if not field.get("description")]
    assert not missing


def test_sections_are_closed() -> None:
    for definition in Recipe.model_json_schema()["$defs"].values():
        assert definition["additionalProperties"] is False
    assert issubclass(Recipe, BaseModel)


def test_the_recipe_in_the_readme_is_valid() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.S | re.M)  # those further in are edits of a file
    assert blocks
    for block in blocks:
        assert recipe_from(parse(block, "README.md")).stages


@pytest.mark.parametrize(
    ("version", "told"),
    [("2", "this recipe is of format 2, and this o1kit knows format 1. Upgrade o1kit"), ("'1'", "Write o1kit: 1")],
)
def test_another_format_is_told_as_what_it_is(version: str, told: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(told)):
        recipe_from(parse(GOOD.replace("o1kit: 1", f"o1kit: {version}"), "r.yaml"))


def test_faults_of_composition_do_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(GOOD)
    (tmp_path / "r.yaml").write_text(
        "extends: base.yaml\nseed: 1.5\nstages: {sftt: {steps: 5}}\nmodle: {}\nmodel: {num_layers: '${seed}'}\n"
    )
    with pytest.raises(RecipeError) as caught:
        load(tmp_path / "r.yaml")
    places = [line.split(": ")[1] for line in str(caught.value).splitlines() if line.startswith(str(tmp_path))]
    assert sorted(places) == ["model.num_layers", "modle", "seed", "stages.sftt"]
    with pytest.raises(RecipeError) as caught:
        recipe_from(parse("o1kit: 1\nname: 12\nmodel: scratch\nstages: {}\ntask: 3\n", "r.yaml"))
    assert {"name", "model", "stages", "task", "tasks"} <= set(
        re.findall(r"r\.yaml:\d+:\d+: ([a-z]+): ", str(caught.value))
    )


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("!!str 5", "5"),
        ("!!str", ""),
        ("!!str true", "true"),
        ('!!int "5"', 5),
        ("!!float 5", 5.0),
        ("!!float '1e-5'", 1e-5),
        ("!!bool 'true'", True),
        ('!!null ""', None),
        ("!!seq [1]", [1]),
        ("!!map {b: 1}", {"b": 1}),
        ('"5"', "5"),
        ("5", 5),
    ],
)
def test_tags_of_yaml_are_obeyed(written: str, value: Any) -> None:
    source = parse(f"a: {written}\n", "r.yaml")
    assert not source.faults
    assert source.data["a"] == value and type(source.data["a"]) is type(value)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("!!int many", "!!int needs a whole number"),
        ("!!int 1.5", "!!int needs a whole number"),
        ("!!float true", "!!float needs a number"),
        ("!!bool maybe", "!!bool needs true or false"),
        ("!!null x", "!!null needs null"),
        ("!!str [1]", "!!str needs a text"),
        ("!!map x", "!!map needs a section"),
        ("!!seq {}", "!!seq needs a list"),
    ],
)
def test_what_does_not_fit_its_tag_is_a_fault_at_its_place(written: str, words: str) -> None:
    (fault,) = parse(f"b: 1\na: {written}\n", "r.yaml").faults
    assert (fault.line, fault.column, fault.path) == (2, 4, ("a",)) and words in fault.message


def test_a_name_with_a_tag_is_a_text() -> None:
    assert recipe_from(parse(GOOD.replace("name: good", "name: !!str 5\nseed: !!int '7'"), "r.yaml")).seed == 7
    assert recipe_from(parse(GOOD, "r.yaml"), ["name=!!str 5"]).name == "5"
    with pytest.raises(RecipeError) as caught:
        recipe_from(parse(GOOD.replace("steps: 5", "steps: !!int many"), "r.yaml"))
    assert len(caught.value.faults) == 1
