"""No fault hides another, be it of a text, a file, an option, a reference, a section or a rule. None is false."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1kit.errors import RecipeError
from o1kit.recipe.loader import load, recipe_from
from o1kit.recipe.source import Fault, parse, show
from tests.recipe.test_loader import GOOD


def told(tmp_path: Path, text: str, *sets: str, overlays: tuple[str, ...] = ()) -> list[Fault]:
    """The faults of a file, written beside a good one that it may extend, with overlays of these texts."""
    (tmp_path / "base.yaml").write_text(GOOD)
    (tmp_path / "r.yaml").write_text(text)
    names = []
    for i, overlay in enumerate(overlays):
        names.append(tmp_path / f"o{i}.yaml")
        if overlay:
            names[-1].write_text(overlay)
    with pytest.raises(RecipeError) as caught:
        load(tmp_path / "r.yaml", sets, names)
    return [fault for fault in caught.value.faults if isinstance(fault, Fault)]


def paths(faults: list[Fault]) -> list[str]:
    return [show(fault.path) for fault in faults]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: 1\nseed: 2\n", {"seed"}),
        ("seed: 1\nseed: 2\nnam: 1\nengine: {max_batch: '${foo.bar}'}\n", {"seed", "nam", "engine.max_batch"}),
        ("seed: 1\nseed: 2\nstages: {eval: {policies: [nosuch]}}\n", {"seed", "stages[3].policies[0]"}),
        ('name: "\\ud800"\nnam: 1\n', {"name", "nam"}),
        ("engine: !replace [3]\nnam: 1\n", {"engine", "nam"}),
        ("model: !foo {kind: scratch}\nnam: 1\n", {"model", "nam"}),
        ('stages: {sft: {steps: !foo 3, batch_size: "\\ud800"}}\n', {"stages.sft.steps", "stages.sft.batch_size"}),
        ("? [a]\n: 3\nnam: 1\n", {"", "nam"}),
        ("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
         "d: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n", None),
    ],
)  # fmt: skip
def test_a_fault_of_the_text_drops_nothing_else(tmp_path: Path, text: str, expected: set[str] | None) -> None:
    faults = told(tmp_path, f"extends: base.yaml\n{text}")
    assert all(fault.line is not None for fault in faults), "nothing is required that is there"
    assert len(faults) == (1 if expected is None else len(expected))
    assert expected is None or set(paths(faults)) == expected


def test_the_same_of_a_recipe_that_extends_nothing(tmp_path: Path) -> None:
    (fault,) = told(tmp_path, f"{GOOD}tracking: {{}}\n")
    assert "the key 'tracking' is already at" in fault.message
    with pytest.raises(RecipeError) as caught:
        recipe_from(parse(f"{GOOD}nam: 1\ntracking: {{}}\n", "r.yaml"))
    assert [fault.line for fault in caught.value.faults] == [47, 48]


def test_options_hide_nothing_of_one_another(tmp_path: Path) -> None:
    sets = ("stages.sft.steps=1.5", "seed=abc", "stages.sftt.steps=3", "engine.max_batch=[", "nonsense", "name=12")
    faults = told(tmp_path, "extends: base.yaml\nnam: 1\n", *sets)
    places = sorted(fault.place.removeprefix("--set ") for fault in faults if fault.line is None)
    assert places == sorted(sets[:-1]), "name=12 is a name"
    assert len(faults) == len(places) + 1
    (fault,) = told(tmp_path, "extends: base.yaml\n", "tasks.new.num_problems=!unset")
    assert "nothing of this name is inherited" in fault.message, "and nothing is required of what was not made"


def test_faults_of_composition_do_not_hide_references_nor_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("O1KIT_NOPE", raising=False)
    text = (
        "extends: base.yaml\n+seed: 3\nengine: {max_batch: '${env:O1KIT_NOPE}'}\n"
        "stages: {sftt: {steps: 3}, prm: {steps: '${foo.bar}'}, eval: {judge: !unset, splits: [nosplit]}}\n"
    )
    expected = ["engine.max_batch", "seed", "stages.sftt", "stages[1].steps", "stages[3].splits[0]"]
    assert sorted(paths(told(tmp_path, text))) == expected, "sftt is probably sft, which `eval` names"
    text = text.replace("sftt: {steps: 3}, ", "")
    expected = ["engine.max_batch", "seed", "stages[1].steps", "stages[3].splits[0]"]
    found = told(tmp_path, text)
    assert [path for path in sorted(paths(found)) if path != "stages[3].searches[0]"] == expected


@pytest.mark.parametrize(
    "wrong",
    [
        "seed: abc",
        "engine: {max_batch: '${env:O1KIT_NOPE}'}",
        "engine: !replace {kind: http, endpoints: [ftp]}",
        "model: !unset",
        "name: '${name}'",
        "o1kit: 2",
        "tasks: {train: {num_problems: many}}",
        "grading: {timeout_s: 0}",
        "tracking: 5",
    ],
)
def test_a_fault_outside_of_the_stages_does_not_hide_rules_between_them(tmp_path: Path, wrong: str) -> None:
    faults = told(
        tmp_path, f"extends: base.yaml\n{wrong}\nstages: {{eval: {{policies: [sft, nosuch], splits: [xx]}}}}\n"
    )
    found = paths(faults)
    assert {"stages[3].policies[1]", "stages[3].splits[0]"} < set(found)
    rules = 5 if "http" in wrong else 2  # an http engine has its own: one policy, no value head
    assert found[0].startswith(wrong.partition(":")[0]) and len(found) <= 1 + rules


def test_what_is_put_in_place_of_a_fault_breaks_no_rule(tmp_path: Path) -> None:
    text = "extends: base.yaml\nmodel: {hidden_size: abc, num_heads: 8}\nstages: {sft: {steps: 0}}\n"
    assert paths(told(tmp_path, text)) == ["model.hidden_size", "stages[0].steps"]
    rollout = "{kind: rollout, name: more, policy: sft, split: heldout, num_problems: 99, search: {kind: greedy}}"
    text = f"extends: base.yaml\ntasks: {{heldout: {{num_problems: x}}}}\n+stages: [{rollout}]\n"
    assert paths(told(tmp_path, text)) == ["tasks.heldout.num_problems"]


def test_choices_hold_the_stages_in_which_something_else_is_wrong(tmp_path: Path) -> None:
    text = "extends: base.yaml\nstages: {sft: {steps: 0}, ppo: !unset, prm: {policy: stf}, eval: !unset}\n"
    faults = told(tmp_path, text)
    assert paths(faults) == ["stages[0].steps", "stages[1].policy"]
    assert "Did you mean 'sft'?" in faults[1].message
    for name in ("3", "!foo sft", "'${nope.x}'"):  # which stage is of a name that cannot be read, is not known
        text = f"extends: base.yaml\nstages: {{sft: {{name: {name}}}, eval: {{policies: [nosuch]}}}}\n"
        assert len(told(tmp_path, text)) == 1


@pytest.mark.parametrize("missing", ["extends: [nowhere.yaml]\n", "extends: [torn.yaml]\n", "extend: base.yaml\n"])
def test_a_missing_file_hides_only_what_may_be_in_it(tmp_path: Path, missing: str) -> None:
    (tmp_path / "torn.yaml").write_text("a: [")
    text = (
        f"{missing}engine: {{endpoints: ['http://a/v1']}}\nmodel: {{hidden_size: 8, kid: 3}}\ngrading: !unset\n"
        "stages: {sft: {steps: 3}, ppo: !unset, eval: {+searches: [{kind: greedy}]}}\n"
        "tasks: {train: {num_problems: '${stages.sft.steps}'}}\n"
    )
    sets = ("stages.sft.steps=4", "tasks.train.sources[0].params.max_terms=3", "+stages.eval.searches=[{kind: sample}]")
    alone = told(tmp_path, text, *sets)
    assert len(alone) == 1, alone
    assert told(tmp_path, text, *sets, "seed=[")[:1] == alone
    more = told(tmp_path, f"{text}seed: abc\nnam: 1\ntracking: {{wandb: {{mode: on}}}}\n", *sets, "name=[]", "x")
    assert sorted(set(paths(more)) - set(paths(alone)) | {""}) == ["", "nam", "name", "seed", "tracking.wandb.mode"]
    assert len(more) == 6, "the file, the option that is none, and these"


@pytest.mark.parametrize("overlay", ["", "a: [", "- 1\n"])
def test_a_missing_overlay_hides_nothing_of_the_recipe(tmp_path: Path, overlay: str) -> None:
    (fault,) = told(tmp_path, GOOD, overlays=(overlay,))
    assert fault.file == str(tmp_path / "o0.yaml") and not fault.message.startswith(str(tmp_path))
    found = told(tmp_path, GOOD.replace("steps: 5", "stepz: 5"), overlays=(overlay, "seed: abc\n"))
    assert sorted(paths(found)) == ["", "seed", "stages[0].stepz"]
    text = GOOD.replace("policies: [sft, ppo]", "policies: [sft, ppp]").replace("chain_sum", "chain_sumx")
    text = text.replace("splits: [heldout]", "splits: [its_own]")
    found = told(tmp_path, text, overlays=(overlay,))
    assert sorted(paths(found)) == ["", "stages[3].policies[1]", "tasks.train.sources[0].generator"]
    found = told(tmp_path, f"extends: none.yaml\n{text}", overlays=(overlay,))
    assert set(paths(found)) == {"", "extends"}, "what is extended may have all of it"


def test_no_file_is_left_out_without_a_word(tmp_path: Path) -> None:
    """What only looks like `extends` is told even where an operator makes nothing of it."""
    for key in ("extend: !unset", "+extend: [base.yaml]", "exends: base.yaml"):
        assert told(tmp_path, f"{GOOD}{key}\n")


def test_one_file_changes_a_stage_and_appends_one(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(GOOD)
    new = "+stages: [{kind: sft, name: more, policy: sft}]\n"
    change = "stages: {sft: {steps: 7}, ppo: !unset, eval: !unset}\n"
    for text in (change + new, new + change):
        (tmp_path / "r.yaml").write_text(f"extends: base.yaml\n{text}")
        stages = load(tmp_path / "r.yaml").recipe.stages
        assert [stage.name for stage in stages] == ["sft", "prm", "more"]
        assert getattr(stages[0], "steps", 0) == 7
    faults = told(tmp_path, f"extends: base.yaml\n{new}stages: {{more: {{steps: 7}}}}\n")
    assert paths(faults) == ["stages.more"], "what is appended is no inherited stage"
    faults = told(tmp_path, f"extends: base.yaml\n{new}stages: [{{kind: sft, name: sft}}]\n")
    assert "both `stages` and `+stages` are written here" in faults[0].message


@pytest.mark.parametrize("name", ["{}", "[sft]", "{name: x}"])
def test_a_name_that_is_no_text_is_a_fault_like_any_other(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "o1kit: 1\nname: a\nmodel: {kind: scratch}\n"
        "tasks: {train: {num_problems: 1, sources: [{kind: jsonl, path: x}]}}\n"
        f"stages: [{{name: {name}, kind: {{name: a, kind: ppo, policy: a}}, policy: a}}]\n"
    )
    with pytest.raises(RecipeError, match=r"a\.yaml:5:"):
        load(path)


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("{kind: prm, name: new, policy: sftt}", {"policy", "labels"}),
        ("{kind: dpo, name: new, policy: sftt}", {"policy", "pairs"}),
        ("{kind: rollout, name: new, policy: sftt}", {"policy", "search"}),
        ("{kind: labels, name: new, policy: sftt}", {"policy", "source"}),
        ("{kind: pairs, name: new, policy: sftt}", {"policy", "source"}),
    ],
)
def test_what_a_stage_lacks_hides_no_name(tmp_path: Path, stage: str, expected: set[str]) -> None:
    found = told(tmp_path, f"extends: base.yaml\n+stages: [{stage}]\n")
    assert {path.rpartition(".")[2] for path in paths(found)} == expected


def test_an_earlier_stage_of_the_same_name_is_not_the_stage_itself(tmp_path: Path) -> None:
    found = told(tmp_path, "extends: base.yaml\n+stages: [{kind: ppo, name: sft, policy: sft, judge: prm}]\n")
    assert [fault.path[-1] for fault in found] == ["name"]


def test_what_is_required_and_was_removed_is_told_where_it_was_removed(tmp_path: Path) -> None:
    (fault,) = told(tmp_path, "extends: base.yaml\nseed: 1\nname: !unset\n")
    assert fault.place.endswith("r.yaml:3:1") and fault.message.startswith("is required")
    (fault,) = told(tmp_path, "extends: base.yaml\n", "model=!unset")
    assert fault.place == "--set model=!unset"
    assert load(tmp_path / "base.yaml", ["name=!unset", "name=again"]).recipe.name == "again"
