"""How faults are shown: line and caret, reason, remedy; and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from o1kit.errors import RecipeError
from o1kit.recipe.faults import excerpt
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.source import parse, show
from tests.recipe.test_loader import GOOD


def error_of(text: str, *overrides: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        recipe_from(parse(text, "r.yaml"), overrides)
    return caught.value


def test_the_line_and_a_caret_under_the_key() -> None:
    rows = str(error_of(GOOD.replace("steps: 5", "stepz: 5"))).splitlines()
    assert rows[0] == "r.yaml:18:5: stages[0].stepz: unknown key 'stepz'. Did you mean 'steps'?"
    assert rows[1].endswith("|     stepz: 5")
    assert rows[2].index("^") == rows[1].index("stepz")


def test_the_line_and_a_caret_under_the_value() -> None:
    rows = str(error_of(GOOD.replace("noticed: 0.5", "noticed: 1.5"))).splitlines()
    assert rows[0].startswith("r.yaml:20:25: stages[0].mistakes.noticed: input should be less than or equal to 1")
    assert "Use at least 0 and at most 1." in rows[0] and "Share of chains with a mistake" in rows[0]
    assert rows[2].index("^") == rows[1].index("1.5")


@pytest.mark.parametrize(
    ("option", "under"),
    [
        ("stages.ppo.policy=${foo.bar}", "${foo"),
        ("name=${env:O1KIT_NOT_SET}", "${env"),
        ("stages.ppo.prm=x", "prm="),
        ("stages.ppo.policy=sftt", "sftt"),
    ],
)
def test_every_fault_of_an_option_has_a_caret(option: str, under: str) -> None:
    rows = str(error_of(GOOD, option)).splitlines()
    assert rows[1].strip() == f"--set {option}"
    assert rows[2].index("^") == rows[1].index(under)


def test_faults_come_in_the_order_of_lines() -> None:
    text = GOOD.replace("steps: 5", "stepz: 5").replace("name: good", "name: ../good").replace("rank: 4", "rank: 0")
    assert [fault.line for fault in error_of(text).faults] == [2, 18, 21]


@pytest.mark.parametrize(
    ("old", "new", "remedy", "suggestion"),
    [
        ("steps: 5", 'steps: "5"', "Write the number without quotes: 5.", "5"),
        ("steps: 5", "steps: 5.5", "Write a whole number, such as 6.", "6"),
        ("steps: 5", "steps: true", "Write a whole number.", None),
        ("steps: 5", "steps: 0", "Use at least 1. It is: Optimizer steps.", "1"),
        ("lr: 1e-5", "lr: '1e-5'", "Write the number without quotes: 1e-5.", "1e-5"),
        ("lr: 1e-5", "lr: 0", "Use more than 0 and at most 100.", None),
        ("path: x.jsonl", "path: 7", "Put it into quotes: '7'.", "'7'"),
        ("splits: [heldout]", "splits: heldout", "Put it into brackets: [heldout].", "[heldout]"),
        ("lora: {rank: 4}", "lora: 4", "Write a section, with keys and values", None),
        ("kind: verifier", "kind: verify", "Did you mean 'verifier'?", "verifier"),
        ("kind: verifier", "kind: 5", "Choose one of: ", None),
        (
            "    steps: 5\n",
            "    steps: 5\n    lr: 5\n",
            "It belongs into 'optimizer'. Write optimizer:",
            "optimizer.lr",
        ),
    ],
)
def test_what_to_write_instead(old: str, new: str, remedy: str, suggestion: str | None) -> None:
    assert old in GOOD
    error = error_of(GOOD.replace(old, new, 1))
    assert len(error.faults) == 1
    assert remedy in error.faults[0].message
    assert error.faults[0].suggestion == suggestion


@pytest.mark.parametrize(("word", "meant"), [("yes", "true"), ("On", "true"), ("'false'", "false"), ("0", "false")])
def test_truth_values(word: str, meant: str) -> None:
    text = GOOD.replace("    policy: sft\n    labels", f"    policy: sft\n    calibrate: {word}\n    labels")
    (fault,) = error_of(text).faults
    assert f"Write {meant}." in fault.message and fault.suggestion == meant


@pytest.mark.parametrize(
    ("line", "column", "shown", "caret"),
    [
        ("a: 1", 4, "a: 1", "   ^"),
        ("\ta: 1", 2, " a: 1", " ^"),
        ("漢字: 1", 5, "漢字: 1", "      ^"),
        ("e\u0301: 1", 5, "e\u0301: 1", "   ^"),
        ("\x1b[2J: 1", 7, "\\x1b[2J: 1", "         ^"),
    ],
)
def test_the_caret_stands_under_the_column(line: str, column: int, shown: str, caret: str) -> None:
    assert excerpt(line, column) == (shown, caret)


def test_of_long_lines_a_part_is_shown() -> None:
    line = "".join(str(i % 10) for i in range(5000))
    shown, caret = excerpt(line, 2505)
    assert len(shown) < 120 and shown.startswith("...") and shown.endswith("...")
    assert shown[caret.index("^")] == line[2504]


def test_options_are_shown_as_they_are() -> None:
    error = error_of(GOOD, "stages.sft.stepz=7")
    rows = str(error).splitlines()
    assert rows[0] == "--set stages.sft.stepz=7: stages[0].stepz: unknown key 'stepz'. Did you mean 'steps'?"
    assert (error.faults[0].file, error.faults[0].line, error.faults[0].column) == (None, None, None)
    assert rows[2].index("^") == rows[1].index("stepz")


def validate(path: Path, *arguments: str) -> tuple[int, Any]:
    command = [sys.executable, "-m", "o1kit", "validate", str(path), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert not done.stderr
    return done.returncode, json.loads(done.stdout)


def test_json_of_faults_and_of_a_valid_recipe(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(GOOD.replace("steps: 5", "stepz: 5").replace("alpha: 0.6", "alpha: -1"))
    code, found = validate(path)
    assert code == 2 and found["valid"] is False
    assert [(f["file"], f["line"], f["column"], f["path"], f["suggestion"]) for f in found["faults"]] == [
        (str(path), 18, 5, "stages[0].stepz", "steps"),
        (str(path), 36, 40, "stages[2].replay.alpha", "0"),
    ]
    assert found["faults"][0]["message"] == "unknown key 'stepz'. Did you mean 'steps'?"
    assert found["faults"][0]["place"] == f"{path}:18:5"
    path.write_text(GOOD)
    assert validate(path) == (0, {"valid": True, "stages": ["sft", "prm", "ppo", "eval"]})
    assert validate(tmp_path / "none.yaml")[1]["faults"][0]["file"] == str(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        # A slip in a key is taken for the key: what refers to nothing is found all the same.
        ([("steps: 5", "stepz: 5"), ("model: prm", "model: pmr")], ["stages[0].stepz", "stages[2].reward.of[1].model"]),
        # The slip is in the reference's own key.
        ([("    policy: sft\n    labels", "    polcy: stf\n    labels")], ["stages[1].polcy", "stages[1].policy"]),
        # Only the rules that read what is wrong say nothing of it, and of stages that refer to it.
        (
            [("chains: 2", "chains: 0"), ("policies: [sft, ppo]", "policies: [stf]")],
            ["stages[1].labels.chains", "stages[3].policies[0]"],
        ),
        (
            [("alpha: 0.6", "alpha: -1"), ("hidden_size: 64", "hidden_size: 65")],
            ["model.hidden_size", "stages[2].replay"],
        ),
        (
            [("clip_ratio: 0.2", "clip_ratio: x"), ("policy: sft\n    labels", "policy: stf\n    labels")],
            ["stages[1]", "stages[2]"],
        ),
        # A section outside of the stages is wrong: rules that ask it cannot be judged, others can.
        (
            [("max_batch: 8", "max_batch: 0"), ("model: prm", "model: pmr")],
            ["engine.max_batch", "stages[2].reward.of[1].model"],
        ),
    ],
)
def test_rules_between_parts_are_told_with_the_rest(changes: list[tuple[str, str]], paths: list[str]) -> None:
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    found = [show(fault.path) for fault in error_of(text).faults]
    assert len(set(found)) == len(paths), found
    for path in paths:
        assert any(place.startswith(path) for place in found), found


def test_sections_and_lengths_are_told_in_plain_words() -> None:
    said = str(error_of(GOOD, "engine=3", "stages.eval.searches=[]", "stages.sft.optimizer.betas=[0.5, 0.5, 0.5]"))
    assert "input should be a section, got 3." in said
    assert "list should have at least 1 item, got none." in said and "list should have at most 2 items, got 3." in said


def test_a_kind_that_only_plugins_have_is_told_without_choices() -> None:
    said = str(error_of(GOOD, "tracking.trackers=[{kind: nosuch}]"))
    assert "unknown kind 'nosuch'. Install a plugin that provides it" in said and "None" not in said
