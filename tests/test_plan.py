"""Plans: inputs, and fingerprints that change exactly when what is computed changes."""

from __future__ import annotations

import pytest

from o1kit.plan import Plan, compile_recipe, stage_seed
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.source import parse
from tests.recipe.test_loader import GOOD


def plan(*overrides: str) -> Plan:
    return compile_recipe(recipe_from(parse(GOOD, "r.yaml"), overrides))


def changed(*overrides: str) -> list[str]:
    pairs = zip(plan().stages, plan(*overrides).stages, strict=True)
    return [new.name for old, new in pairs if old.fingerprint != new.fingerprint]


def test_inputs_are_the_stages_a_section_names() -> None:
    assert {s.name: s.inputs for s in plan().stages} == {
        "sft": (),
        "prm": ("sft",),
        "ppo": ("sft", "prm"),
        "eval": ("sft", "ppo", "prm"),
    }


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("stages.sft.steps=6", ["sft", "prm", "ppo", "eval"]),
        ("stages.prm.labels.chains=9", ["prm", "ppo", "eval"]),
        ("stages.ppo.loss.kl_coef=0.5", ["ppo", "eval"]),
        ("stages.eval.searches=[{kind: greedy}]", ["eval"]),
        ("seed=1", ["sft", "prm", "ppo", "eval"]),
        ("model.hidden_size=128", ["sft", "prm", "ppo", "eval"]),
        ("tasks.heldout.num_problems=6", ["sft", "prm", "ppo", "eval"]),
        ("name=other", []),
        ("tracking.wandb.mode=online", []),
        ("stages.sft.checkpoint_every=7", []),
    ],
)
def test_a_change_reaches_what_depends_on_it(override: str, stages: list[str]) -> None:
    assert changed(override) == stages


def test_plans_are_pure() -> None:
    assert plan() == plan()


def test_seeds_differ_by_stage_and_seed() -> None:
    seeds = {stage_seed(seed, name) for seed in range(50) for name in ("sft", "prm", "ppo")}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**63 for seed in seeds)
