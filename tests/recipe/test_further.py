"""Two faults at once are told as each is alone: none hides another, and none is told that only follows from one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest

from o1kit.config import Config
from o1kit.errors import RecipeError
from o1kit.recipe.loader import load_recipe, recipe_from
from o1kit.recipe.mended import READ
from o1kit.recipe.references import check
from o1kit.recipe.source import Fault, Source, parse, show
from o1kit.stages.config import StageConfig
from tests.recipe.test_loader import GOOD, RECIPES

FAULTS = [
    "seed=abc",
    "nam=1",
    "model.hidden_size=abc",
    "model.num_kv_heads=3",
    "model.tokenizer.phrases=[[]]",
    "tasks.heldout.num_problems=0",
    "tasks.heldout.sources[0].weight=-1",
    "tasks.train.num_problems=-1",
    "tasks.train.sources[0].generator=chain_sumx",
    "tasks.train.sources[1].path=[]",
    "grading.memory_mb=-1",
    "engine.max_batch=0",
    "stages.sft.steps=0",
    "stages.sft.optimizer.lr=high",
    "stages.prm.policy=stf",
    "stages.prm.batch_size=${env:O1KIT_NOPE}",
    "stages.ppo.iterations=-1",
    "stages.ppo.replay.alpha=many",
    "stages.eval.splits=[heldout,heldoutt]",
    "stages.eval.policies=[sft,nosuch]",
    "stages.eval.seeds=-1",
    "stages.eval.ask=5",
    "stages.eval.judge=!unset",
]


def told(*sets: str) -> list[tuple[str, str]]:
    """The path and message of each fault of a good recipe with some changes."""
    with pytest.raises(RecipeError) as caught:
        recipe_from(parse(GOOD, "r.yaml"), sets)
    return sorted((show(f.path), f.message) for f in caught.value.faults if isinstance(f, Fault))


def test_two_faults_are_told_as_each_is_alone() -> None:
    alone = {text: told(text) for text in FAULTS}
    for one, other in combinations(FAULTS, 2):
        assert told(one, other) == sorted({*alone[one], *alone[other]}), (one, other)


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (
            [
                *("tasks.heldout.num_problems=0", "tasks.train.sources[0].generator=chain_sumx", "stages.sft.steps=0"),
                *("stages.ppo.iterations=0", "stages.ppo.policy=sfft"),
                *("stages.eval.seeds=-1", "stages.eval.splits=[heldoutt]"),
            ],
            [
                *("stages[0].steps", "stages[2].iterations", "stages[2].policy", "stages[3].seeds"),
                *("stages[3].splits[0]", "tasks.heldout.num_problems", "tasks.train.sources[0].generator"),
            ],
        ),
        (
            ["tasks.train.num_problems=-1", "tasks.train.sources[0].params.max_term=3"],
            ["tasks.train.num_problems", "tasks.train.sources[0].params.max_term"],
        ),
        (["stages=5", "tasks.train.sources[0].generator=x"], ["stages", "tasks.train.sources[0].generator"]),
        (["tasks=5", "stages.eval.splits=[xx]", "stages.ppo.policy=x"], ["stages[2].policy", "tasks"]),
        (["stages.eval.policies=[[],ppp]"], ["stages[3].policies[0]", "stages[3].policies[1]"]),
        (["stages.sft.kind=prn", "stages.eval.policies=[sft,x]"], ["stages[0].kind", "stages[3].policies[1]"]),
        (["stages.ppo.policy=[]", "stages.ppo.judge=prmm"], ["stages[2].judge", "stages[2].policy"]),
        (["stages.prm.kind=prn", "stages.eval.seeds=0"], ["stages[1].kind", "stages[3].seeds"]),
        (["name=${tasks.train.sources[0].generator}", "tasks.train.sources[0].generator=${nam}"], ["name"]),
        (["stages.sft.name=[]", "stages.eval.policies=[x]"], ["stages[0].name"]),  # x may be its name
    ],
)
def test_all_is_told_but_what_may_only_follow(sets: Sequence[str], expected: list[str]) -> None:
    assert [path for path, _ in told(*sets)] == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("model.num_heads=x", "model.num_kv_heads=3"),  # what it must divide is not known
        ("tasks.train.sources[0].params.min_terms=[]", "tasks.train.sources[0].params.max_terms=1"),
        ("stages.prm.objective.kind=x", "stages.eval.judge={kind: orm, model: prm}"),  # it may be trained as one
        ("stages.eval.judge=5", "stages.eval.seeds=0"),  # best_of_n needs one
    ],
)
def test_nothing_is_told_of_a_rule_that_reads_what_is_wrong(one: str, other: str) -> None:
    known = {show_path for show_path, _ in told(one)}
    assert {path for path, _ in told(one, other)} <= known | {
        other.partition("=")[0].replace("stages.eval", "stages[3]")
    }
    assert len(told(one, other)) <= 2


def test_the_keys_that_rules_read_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that reads another key of a stage would be told falsely while something is wrong there."""
    recipes = [load_recipe(path) for path in RECIPES] + [recipe_from(parse(GOOD, "r.yaml"))]
    read: set[str] = set()
    plain = Config.__getattribute__

    def noted(self: Any, name: str) -> Any:
        if issubclass(type(self), StageConfig) and name in type(self).model_fields:
            read.add(name)
        return plain(self, name)

    monkeypatch.setattr(Config, "__getattribute__", noted)
    for recipe in recipes:
        check(recipe, Source(""))
    assert "policies" in read and read - {"batch_size", "replay", "lora"} <= READ  # those only where a stage is right
