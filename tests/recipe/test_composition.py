"""Recipes of several files: what each operator does, which file a value came from, and what is refused where."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from o1kit.errors import RecipeError
from o1kit.recipe.layers import MAX_FILES, MAX_LEVELS
from o1kit.recipe.loader import Loaded, load
from o1kit.recipe.source import MAX_BYTES, MAX_NODES

BASE = """\
o1kit: 1
name: base
model: {kind: scratch, hidden_size: 64}
tasks:
  train: {num_problems: 10, sources: [{kind: jsonl, path: data/x.jsonl}]}
  heldout: {num_problems: 5, sources: [{kind: jsonl, path: data/y.jsonl}]}
engine: {kind: torch, max_batch: 8}
stages:
  - {kind: sft, name: sft, steps: 5, optimizer: {lr: 1e-3, warmup_steps: 1}}
  - {kind: rollout, name: rollout, policy: sft, judge: {kind: confidence}, search: {kind: mcts, num_simulations: 4}}
  - {kind: evaluate, name: eval, policies: [sft], searches: [{kind: greedy}]}
"""

Files = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Writes files by name (`a_yaml` is `a.yaml`) beside base.yaml, from where messages name them."""
    monkeypatch.chdir(tmp_path)

    def write(**texts: str) -> Path:
        for name, text in {"base_yaml": BASE, **texts}.items():
            Path(name.replace("_", ".")).write_text(text, encoding="utf-8")
        return Path("a.yaml")

    return write


def changed(files: Files, text: str, *sets: str) -> Loaded:
    return load(files(a_yaml=f"extends: base.yaml\n{text}"), sets)


def fails(path: Path, sets: Sequence[str] = (), overlays: Sequence[Path] = ()) -> str:
    with pytest.raises(RecipeError) as caught:
        load(path, sets, overlays)
    return str(caught.value)


def test_maps_merge_lists_replace_and_operators_do_what_they_say(files: Files) -> None:
    loaded = changed(
        files,
        "model: {num_layers: 2}\nengine: !replace {memory_mb: 64}\nstages:\n"
        "  sft: {steps: 7, optimizer: {warmup_steps: !unset}}\n  rollout: !unset\n"
        "  eval: {+searches: [{kind: sample}], splits: [heldout]}\n",
    )
    data = loaded.source.data
    assert data["model"] == {"kind": "scratch", "hidden_size": 64, "num_layers": 2}
    assert data["engine"] == {"memory_mb": 64}
    assert data["stages"] == [
        {"kind": "sft", "name": "sft", "steps": 7, "optimizer": {"lr": 1e-3}},
        {
            "kind": "evaluate",
            "name": "eval",
            "policies": ["sft"],
            "searches": [{"kind": "greedy"}, {"kind": "sample"}],
            "splits": ["heldout"],
        },
    ]
    assert loaded.files == (Path("base.yaml"), Path("a.yaml"))


def test_each_value_tells_the_file_that_wrote_it(files: Files) -> None:
    loaded = changed(files, "stages:\n  sft: {steps: 7}\n  rollout: !unset\n", "seed=3", "stages.eval.seeds=2")
    place = loaded.source.place
    assert place(("name",)) == "base.yaml:2:7"
    assert place(("stages", 0, "steps")) == "a.yaml:3:16"
    assert place(("stages", 0, "steps"), key=True) == "a.yaml:3:9"
    assert place(("stages", 1, "policies")) == "base.yaml:11:44", "positions in the list have moved"
    assert place(("seed",)) == "--set seed=3"
    assert place(("grading",)) == "", "a default is written nowhere"


def test_a_section_of_another_kind_replaces_the_inherited_one(files: Files) -> None:
    loaded = changed(files, "stages: {rollout: {search: {kind: beam, num_beams: 2, scored_by: confidence}}}\n")
    assert loaded.source.data["stages"][1]["search"] == {"kind": "beam", "num_beams": 2, "scored_by": "confidence"}
    same = changed(files, "stages: {rollout: {search: {kind: mcts, num_children: 2}}}\n")
    assert same.source.data["stages"][1]["search"] == {"kind": "mcts", "num_simulations": 4, "num_children": 2}
    stage = changed(files, "", "stages.rollout.kind=labels", "stages.rollout.source={kind: monte_carlo}", SFT)
    assert stage.source.data["stages"][1] == {
        "name": "rollout",
        "kind": "labels",
        "source": {"kind": "monte_carlo"},
        "policy": "sft",
    }


SFT = "stages.rollout.policy=sft"


def test_the_last_one_counts(files: Files, tmp_path: Path) -> None:
    """Defaults, then what is extended from left to right, the file, overlays in order, --set."""
    path = files(
        one_yaml="extends: base.yaml\nname: one\nseed: 1\nmodel: {num_layers: 1, num_heads: 2}\n",
        two_yaml="extends: base.yaml\nseed: 2\nmodel: {num_layers: 2}\n",
        a_yaml="extends: [one.yaml, two.yaml]\nmodel: {num_kv_heads: 2}\n",
        o_yaml="extends: base.yaml\nseed: 4\nmodel: {intermediate_size: 32}\n",
        p_yaml="model: {intermediate_size: 64}\n",
    )
    plain = load(path)
    assert (plain.recipe.name, plain.recipe.seed) == ("one", 2), "the base counts once: two.yaml does not undo one.yaml"
    assert plain.files == tuple(map(Path, ("base.yaml", "one.yaml", "two.yaml", "a.yaml")))
    model = load(path, ["model.num_layers=5"], [Path("o.yaml"), Path("p.yaml")]).recipe
    assert model.seed == 4
    assert [getattr(model.model, k) for k in ("num_layers", "num_heads", "num_kv_heads", "intermediate_size")] == [
        5,
        2,
        2,
        64,
    ]
    assert model.model.context_length == plain.recipe.model.context_length


def test_relative_paths_start_from_the_file_they_are_written_in(files: Files, tmp_path: Path) -> None:
    files()
    (tmp_path / "sub" / "model").mkdir(parents=True)
    text = "extends: ../base.yaml\ntasks: {heldout: {sources: [{kind: jsonl, path: z.jsonl}]}}\n"
    (tmp_path / "sub" / "a.yaml").write_text(text + "model: {kind: hf, source: model}\n")
    recipe = load(Path("sub/a.yaml")).recipe
    assert [split.sources[0].path for split in recipe.tasks.values()] == ["../data/x.jsonl", "z.jsonl"]
    assert os.path.samefile(recipe.model.source, tmp_path / "sub" / "model")
    hub = load(Path("sub/a.yaml"), ["model.source=some/model"]).recipe
    assert hub.model.source == "some/model"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("+name: [x]\n", "a.yaml:2:1: name: `+name` appends to a list, and at base.yaml:2:7 there is none"),
        ("stages: {eval: {+serches: [x]}}\n", "a.yaml:2:17: stages[2].serches: no list is inherited here to append to."
         " Did you mean '+searches'?"),
        ("stages: {eval: {+zzz: [x]}}\n", "no list is inherited here to append to. Write `zzz:` for a new one."),
        ("stages: {eval: {+searches: 3}}\n", "a.yaml:2:28: stages[2].searches: `+searches` appends a list"),
        ("engine: {max_bach: !unset}\n", "a.yaml:2:10: engine.max_bach: `!unset`: nothing of this name is inherited."
         " Did you mean 'max_batch'?"),
        ("stages: {eval: {searches: [], +searches: []}}\n", "both `searches` and `+searches` are written here"),
        ("stages: {stf: {steps: 1}}\n", "a.yaml:2:10: stages.stf: no stage 'stf' is inherited. Did you mean 'sft'?"),
        ("stages: {sft: 3}\n", "a.yaml:2:15: stages.sft: a stage is a map of its options"),
        ("stages: !replace {sft: {steps: 3}}\n", "stages: input should be a valid list"),
        ("stages: [!unset]\n", "`!unset` removes a key, not an entry of a list"),
        ("stages: {eval: {searches: !unset, policies: !unset}}\n", "stages[2].policies: is required"),
        ("engine: !unset 3\n", "a.yaml:2:9: engine: `!unset` stands alone"),
        ("engine: !replace [3]\n", "a.yaml:2:9: engine: `!replace` is for maps"),
        ("engine: !merge {max_batch: 3}\n", "the tag !merge is not allowed"),
        ("engine: !!python/name:os.system x\n", "is not allowed: a recipe is plain data"),
        ("stages: {sft: {stepz: 3}}\n", "a.yaml:2:16: stages[0].stepz: unknown key 'stepz'. Did you mean 'steps'?"),
        ("engine: {max_batch: 0}\n", "a.yaml:2:21: engine.max_batch: input should be greater than or equal to 1"),
    ],
)  # fmt: skip
def test_faults_are_told_where_they_are_written(files: Files, text: str, words: str) -> None:
    assert words in fails(files(a_yaml=f"extends: base.yaml\n{text}"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("extends: nowhere.yaml\n", "a.yaml:1:10: extends: nowhere.yaml: there is no such file. In .: a.yaml"),
        ("extends: bas.yaml\n", "a.yaml:1:10: extends: bas.yaml: there is no such file. Did you mean 'base.yaml'?"),
        ("extends: base.yml\n", "a.yaml:1:10: extends: base.yml: there is no such file. Did you mean 'base.yaml'?"),
        ("extends: [base.yaml, a.yaml]\n", "a.yaml:1:22: extends: the files extend one another in a circle: a.yaml"),
        ("extends: 3\n", "a.yaml:1:10: extends: `extends` names a file"),
        ("extends: {a: b}\n", "a.yaml:1:10: extends: `extends` names a file"),
        ("extends: https://example.org/a.yaml\n", "extends: a recipe extends files only"),
        ("extends: ${env:HOME}/a.yaml\n", "write the file's name"),
        ("extends: .\n", "extends: .: this is a folder"),
        ("extends: /dev/zero\n", "extends: /dev/zero: this is no regular file"),
        ("extends: fifo\n", "extends: fifo: this is no regular file"),
        ("extend: base.yaml\n", "a.yaml:1:1: extend: unknown key 'extend'. Did you mean 'extends'?"),
        ("extends: big.yaml\n", f"big.yaml: the file is larger than {MAX_BYTES} bytes"),
        ("extends: latin.yaml\n", "not a text file (byte 3 is not UTF-8)"),
        ("name: base\nstages: {sft: {}}\n", "a.yaml:2:1: stages: a map changes inherited stages by name, and none"),
    ],
)
def test_files_that_cannot_be_extended(files: Files, text: str, words: str) -> None:
    path = files(a_yaml=text, big_yaml="# " + "x" * MAX_BYTES)
    os.mkfifo("fifo")
    Path("latin.yaml").write_bytes("a: é".encode("latin-1"))
    assert words in fails(path)


def test_depth_and_number_of_files_are_bounded(files: Files) -> None:
    files()
    for i in range(MAX_LEVELS + 2):
        Path(f"l{i}.yaml").write_text(f"extends: {f'l{i - 1}.yaml' if i else 'base.yaml'}\n")
    assert load(Path(f"l{MAX_LEVELS - 2}.yaml")).recipe.name == "base"
    assert f"more than {MAX_LEVELS} files extend one another" in fails(Path(f"l{MAX_LEVELS + 1}.yaml"))
    for i in range(MAX_FILES + 1):
        Path(f"m{i}.yaml").write_text("{}\n")
    names = ", ".join(f"m{i}.yaml" for i in range(MAX_FILES + 1))
    assert f"at most {MAX_FILES} files" in fails(files(a_yaml=f"extends: [base.yaml, {names}]\n"))


def test_values_are_bounded_over_all_files_and_in_options(files: Files) -> None:
    many = ", ".join("x" for _ in range(MAX_NODES // 3))
    texts = {f"n{i}_yaml": f"n{i}: [{many}]\n" for i in range(4)}
    path = files(a_yaml="extends: [base.yaml, n0.yaml, n1.yaml, n2.yaml, n3.yaml]\n", **texts)
    assert f"a.yaml: its files hold more than {MAX_NODES} values together" in fails(path)
    assert "no value of a recipe lies so deep" in fails(files(a_yaml="extends: base.yaml\n"), [f"{'a.' * 100}a=1"])


def test_a_circle_over_several_files_is_told_in_full(files: Files) -> None:
    path = files(a_yaml="extends: b.yaml\n", b_yaml="extends: c.yaml\n", c_yaml="extends: a.yaml\n")
    assert "c.yaml:1:10: extends: the files extend one another in a circle: a.yaml -> b.yaml -> c.yaml -> a.yaml" in (
        fails(path)
    )


@pytest.mark.parametrize(
    ("sets", "value"),
    [
        (["name=123"], "123"),
        (["name=1e3"], "1e3"),
        (["name=true"], "true"),
        (['name="7"'], "7"),
    ],
)
def test_a_word_is_a_word_where_the_schema_says_so(files: Files, sets: list[str], value: str) -> None:
    assert changed(files, "", *sets).recipe.name == value
    assert "name: input should be a valid string, got 123" in fails(files(a_yaml="extends: base.yaml\nname: 123\n"))


def test_sets_take_the_operators_of_files(files: Files) -> None:
    recipe = changed(
        files,
        "",
        "stages.sft.optimizer.warmup_steps=!unset",
        "+stages.eval.searches=[{kind: sample, num_samples: 2}]",
        "model={num_layers: 3}",
        "engine=!replace {memory_mb: 64}",
        "stages.rollout=!unset",
    ).source.data
    assert recipe["stages"][0]["optimizer"] == {"lr": 1e-3}
    assert recipe["stages"][1]["searches"] == [{"kind": "greedy"}, {"kind": "sample", "num_samples": 2}]
    assert recipe["model"] == {"kind": "scratch", "hidden_size": 64, "num_layers": 3}
    assert recipe["engine"] == {"memory_mb": 64}


@pytest.mark.parametrize(
    ("option", "words", "marked"),
    [
        ("stages.sfft.steps=7", "has no entry 'sfft'. Did you mean 'sft'?", "sfft.steps=7"),
        ("stages.sft.stepz=7", "unknown key 'stepz'. Did you mean 'steps'?", "stepz=7"),
        ("stages.sft.steps=many", "input should be a valid integer, got 'many'", "many"),
        ("name.x=1", "holds a value, not a section", "x=1"),
        ("a..b=1", "write --set key.path=value", "..b=1"),
        ("seed=[1", "not valid YAML", ""),
        ("+name=[1]", "`+name` appends to a list", "name=[1]"),
        ("engine.x=!unset", "nothing of this name is inherited", "x=!unset"),
    ],
)
def test_faults_of_options_point_into_their_text(files: Files, option: str, words: str, marked: str) -> None:
    message = fails(files(a_yaml="extends: base.yaml\n"), [option])
    first, shown, caret = message.splitlines()
    assert first.startswith(f"--set {option}: ")
    assert words in first
    assert shown.strip() == f"--set {option}"
    assert shown[caret.index("^") :] == marked


def test_a_mark_at_the_start_is_read_over_and_control_characters_are_not(files: Files) -> None:
    path = files(a_yaml="\ufeffextends: base.yaml\n")
    assert load(path).source.place(("name",)) == "base.yaml:2:7"
    assert "a.yaml:2:10: the character U+0000 is not allowed" in fails(
        files(a_yaml="extends: base.yaml\nname: abc\0\n")
    )
    assert "U+001B" in fails(files(a_yaml="# \x1b[31m\nextends: base.yaml\n"))


def test_anchors_stay_bounded_over_several_files(files: Files) -> None:
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 9) + "]" for i in range(1, 12)]
    assert "too large" in fails(files(a_yaml="extends: b.yaml\n", b_yaml="\n".join(bomb)))


def test_nothing_is_both_there_and_missing(files: Files) -> None:
    """An overlay that cannot be read is no overlay: the run must not start without it."""
    path = files(a_yaml="extends: base.yaml\n")
    assert "none.yaml: there is no such file" in fails(path, overlays=[Path("none.yaml")])
    data: Any = load(path).source.data
    assert "extends" not in data


def test_programs_are_told_what_was_probably_meant(files: Files) -> None:
    """Of files, of options and of references alike."""
    text = "extends: base.yaml\nengine: {max_bach: !unset}\nstages: {stf: {steps: 1}}\n"
    for written, sets, meant in (
        (text, [], ["max_batch", "sft"]),
        ("extends: base.yaml\n", ["stages.rolout.policy=sft"], ["rollout"]),
        ("extends: base.yaml\nseed: '${engine.max_bacth}'\n", [], ["max_batch"]),
        ("exends: base.yaml\n", [], ["extends"]),
    ):
        with pytest.raises(RecipeError) as caught:
            load(files(a_yaml=written), sets)
        assert [fault.suggestion for fault in caught.value.faults] == meant
