"""Recipes with label and pair stages: what they are built from, and what is found wrong with them."""

from __future__ import annotations

import pytest

from o1kit.errors import RecipeError
from o1kit.plan import compile_recipe
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.source import parse
from tests.recipe.test_loader import GOOD

STAGES = """\
  - {kind: labels, name: mc, policy: sft, source: {kind: monte_carlo, chains: 2}}
  - {kind: labels, name: asked, policy: model, source: {kind: judge, of: mc}}
  - {kind: labels, name: both, source: {kind: consensus, of: [mc, asked]}}
  - {kind: labels, name: read, source: {kind: file, path: x.jsonl, format: prm800k}}
  - {kind: rollout, name: roll, policy: ppo, search: {kind: sample, num_samples: 4}}
  - {kind: labels, name: tree, policy: ppo, source: {kind: tree, of: roll}}
  - {kind: labels, name: omega, policy: sft, split: train, source: {kind: omega}}
  - {kind: pairs, name: p1, policy: ppo, source: {kind: tree, of: roll}}
  - {kind: pairs, name: p2, source: {kind: outcomes, of: mc}}
  - {kind: pairs, name: p3, policy: ppo, source: {kind: outcomes, of: roll}}
  - {kind: pairs, name: p4, source: {kind: steps, of: both}}
"""
TEXT = GOOD.replace("tracking:", f"{STAGES}tracking:")


def test_what_they_are_built_from() -> None:
    plan = compile_recipe(recipe_from(parse(TEXT, "r.yaml")))
    inputs = {stage.name: stage.inputs for stage in plan.stages[4:]}
    assert inputs == {
        "mc": ("sft",),
        "asked": ("mc",),
        "both": ("mc", "asked"),
        "read": (),
        "roll": ("ppo",),
        "tree": ("ppo", "roll"),
        "omega": ("sft",),
        "p1": ("ppo", "roll"),
        "p2": ("mc",),
        "p3": ("ppo", "roll"),
        "p4": ("both",),
    }


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("name: mc, policy: sft", "name: mc", "`monte_carlo` needs `policy`"),
        ("name: mc, policy: sft", "name: mc, policy: prm", "is of kind prm, sft or ppo or dpo is needed"),
        ("of: [mc, asked]", "of: [mc, mc]", "agrees with itself"),
        ("of: [mc, asked]", "of: [mc, sft]", "is of kind sft, labels is needed"),
        ("of: [mc, asked]", "of: [mc]", "at least 2 items"),
        ("name: both, source", "name: both, policy: sft, source", "`consensus` asks no model. Leave `policy` out"),
        ("{kind: judge, of: mc}", "{kind: judge, of: read}", "stage 'read' comes later"),
        ("{kind: judge, of: mc}", "{kind: judge, of: mc, prompt: Good}", "no place for {problem}"),
        ("name: asked, policy", "name: asked, split: heldout, policy", "takes its problems from elsewhere"),
        ("format: prm800k", "format: trl, neutral: bad", "only prm800k has neutral steps"),
        ("format: prm800k", "format: trl, mark: m", "trl has no marks between steps"),
        ("name: tree, policy: ppo", "name: tree, policy: sft", "'roll' searched with 'ppo'. Set `policy: ppo`."),
        ("{kind: tree, of: roll}}\n  - {kind: labels, name: omega", "{kind: tree, of: mc}}\n  - {kind: labels, "
         "name: omega", "is of kind labels, rollout is needed"),
        ("search: {kind: sample, num_samples: 4}", "verify: false, search: {kind: sample}", "Set `verify: true` there"),
        ("split: train, source", "split: tain, source", "no split 'tain' in tasks. Did you mean 'train'?"),
        ("source: {kind: omega}", "source: {kind: omega, labels: implied}", "Use `estimate: hard`"),
        ("name: p1, policy: ppo", "name: p1", "`tree` needs `policy`"),
        ("name: p2, source", "name: p2, policy: sft, source", "these chains have their tokens. Leave it out"),
        ("name: p3, policy: ppo", "name: p3", "'roll' searched with 'ppo'. Set `policy: ppo`."),
        ("name: p4, source", "name: p4, policy: sft, source", "Leave `policy` out"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(old: str, new: str, words: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(RecipeError) as caught:
        recipe_from(parse(TEXT.replace(old, new), "r.yaml"))
    assert words in str(caught.value)


def test_solutions_are_not_steps() -> None:
    refine = "{kind: self_refine, algorithm: {kind: mctsr, num_rollouts: 2}}"
    text = TEXT.replace("search: {kind: sample, num_samples: 4}", f"search: {refine}")
    with pytest.raises(RecipeError, match="are of whole solutions, not of steps"):
        recipe_from(parse(text, "r.yaml"))


def test_a_labels_file_needs_no_training_problems() -> None:
    tasks = "tasks: {other: {num_problems: 5, sources: [{kind: jsonl, path: x}]}}"
    read = "stages: [{kind: labels, name: read, source: {kind: file, path: x.jsonl, format: trl}}]"
    recipe = recipe_from(parse(f"o1kit: 1\nname: x\nmodel: {{kind: hf, source: m}}\n{tasks}\n{read}\n", "r.yaml"))
    assert recipe.stages[0].name == "read"
