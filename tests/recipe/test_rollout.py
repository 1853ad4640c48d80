"""Recipes with a rollout stage: what it is built from, and what is found wrong with it."""

from __future__ import annotations

import pytest

from o1kit.plan import compile_recipe
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.source import parse
from tests.recipe.test_loader import GOOD, fails
from tests.recipe.test_served import HTTP, SERVED

ROLLOUT = """\
  - kind: rollout
    name: rollout
    policy: ppo
    judge: prm
    num_problems: 10
    samples: 2
    search: {kind: mcts, num_simulations: 4}
"""
TEXT = GOOD.replace("tracking:", f"{ROLLOUT}tracking:")


def test_a_rollout_is_built_on_its_policy_and_judge() -> None:
    *others, rollout = compile_recipe(recipe_from(parse(TEXT, "r.yaml"))).stages
    assert rollout.inputs == ("ppo", "prm")
    assert [stage.fingerprint for stage in others] == [
        stage.fingerprint for stage in compile_recipe(recipe_from(parse(GOOD, "r.yaml"))).stages
    ]
    assert rollout.config.split == "train" and rollout.config.verify is True


@pytest.mark.parametrize(("stage", "name"), [(4, "rollout"), (3, "eval"), (2, "ppo")])
def test_how_many_failures_are_borne_with_changes_no_result(stage: int, name: str) -> None:
    plans = [
        compile_recipe(recipe_from(parse(TEXT, "r.yaml"), [f"stages.{name}.max_failed_judgements={share}"])).stages
        for share in (0.1, 0.5)
    ]
    assert plans[0][stage].config != plans[1][stage].config
    assert plans[0][stage].fingerprint == plans[1][stage].fingerprint


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("policy: ppo", "policy: pppo", "stages[4].policy: there is no stage 'pppo'. Did you mean 'ppo'?"),
        ("policy: ppo", "policy: prm", "is of kind prm, sft or ppo or dpo is needed"),
        ("policy: ppo", "policy: rollout", "a stage cannot refer to itself"),
        ("    judge: prm\n", "", "stages[4].search: mcts needs a reward that judges steps"),
        (
            "    judge: prm\n",
            "    split: tain\n    judge: prm\n",
            "there is no split 'tain' in tasks. Did you mean 'train'?",
        ),
        ("num_problems: 10", "num_problems: 11", "split 'train' has 10 problems. Take at most so many, or make it"),
        ("kind: mcts, num_simulations: 4", "kind: greedy", "stages[4].samples: greedy finds the same chain every time"),
        ("policy: ppo", "policy: model", ""),
        ("num_simulations: 4", "leaf_value: value_head", ""),
    ],
)
def test_faults(old: str, new: str, words: str) -> None:
    assert old in ROLLOUT
    text = GOOD.replace("tracking:", f"{ROLLOUT.replace(old, new)}tracking:")
    if words:
        assert words in fails(text)
    else:
        recipe_from(parse(text, "r.yaml"))


@pytest.mark.parametrize(("policy", "other"), [("sft", "of kind sft"), ("model", "none")])
def test_only_ppo_has_a_value_head(policy: str, other: str) -> None:
    stage = ROLLOUT.replace("policy: ppo", f"policy: {policy}").replace("num_simulations: 4", "leaf_value: value_head")
    message = fails(GOOD.replace("tracking:", f"{stage}tracking:"))
    assert f"stages[4].search.leaf_value: only ppo stages have a value head, and {policy!r} is {other}. Use" in message


def test_what_servers_cannot_roll_out() -> None:
    stage = "  - {kind: rollout, name: rollout, policy: model, split: heldout, search: {kind: sample}}\n"
    recipe_from(parse(SERVED + stage, "r.yaml"))
    assert "exists in this process only" in fails(
        SERVED.replace("{kind: hf, source: somewhere}", "{kind: scratch}") + stage
    )
    text = TEXT.replace("engine: {max_batch: 8}", HTTP).replace("policies: [sft, ppo]", "policies: [ppo]")
    recipe_from(parse(text, "r.yaml"))
    assert "a completions server has no value head" in fails(
        text.replace("num_simulations: 4}\nt", "leaf_value: value_head}\nt")
    )


def test_a_recipe_that_only_rolls_out_needs_no_training_problems() -> None:
    stage = "  - {kind: rollout, name: rollout, policy: model, split: heldout, search: {kind: sample}}\n"
    start = SERVED[: SERVED.index("stages:")]
    recipe_from(parse(f"{start}stages:\n{stage}", "r.yaml"))
    assert "there is no split 'train' in tasks. " in fails(f"{start}stages:\n{stage.replace(' split: heldout,', '')}")
