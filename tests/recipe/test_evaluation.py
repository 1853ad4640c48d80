"""What an evaluation's section may not say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from o1kit.errors import RecipeError
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.source import parse
from tests.small import RECIPE

SAMPLE, GREEDY = {"kind": "sample", "num_samples": 4}, {"kind": "greedy"}
BEST = {"kind": "best_of_n", "num_samples": 4, "select": "best"}


def load(**section: Any) -> Any:
    stage = {"kind": "evaluate", "name": "evaluate", "policies": ["sft", "ppo"], "searches": [GREEDY, SAMPLE]}
    return recipe_from(parse(json.dumps(RECIPE | {"stages": [*RECIPE["stages"][:-1], stage | section]}), "r"))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"pass_at": [8]}, "no search of kind `sample` draws so many"),
        ({"pass_at": [2, 2]}, "lists a number twice"),
        ({"pass_at": [1]}, "greater than or equal to 2"),
        ({"judge": "prm", "judge_folder": "x"}, "keep one"),
        ({"labels": {"kind": "file", "path": "x", "format": "o1kit"}}, "name a `judge`"),
        ({"judge": "prm", "labels": {"kind": "stage", "stage": "prm"}}, "is of kind prm, labels is needed"),
        ({"compare_to": {}}, "names no row"),
        ({"compare_to": {"policy": "model"}}, "no policy 'model' in this evaluation"),
        ({"compare_to": {"search": "gredy"}}, "Did you mean 'greedy'"),
        ({"compare_to": {"search": "pass@4"}}, "no search 'pass@4'"),
        ({"seeds": 0}, "greater than or equal to 1"),
        ({"overlap": {"ngram": 1}}, "greater than or equal to 2"),
        ({"overlap": {"threshold": 0.0}}, "greater than 0"),
        ({"searches": [BEST]}, "needs a reward that judges steps"),
    ],
)
def test_contradictions_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(**section)


@pytest.mark.parametrize(
    "section",
    [
        {"pass_at": [2, 3], "seeds": 3},
        {"compare_to": {"policy": "sft", "search": "pass@1"}, "overlap": None},
        {"judge_folder": "somewhere", "searches": [BEST], "labels": {"kind": "file", "path": "x", "format": "o1kit"}},
    ],
)
def test_the_rest_is_taken(section: dict[str, Any]) -> None:
    assert load(**section).stages[-1].model_fields_set >= section.keys()


def learned(split: str, measured: str, **section: Any) -> Any:
    """A judge trained on labels of a split, measured on the labels of a stage; some are other labels of its chains."""
    source = {"kind": "monte_carlo", "num_problems": 4}
    stages = [
        RECIPE["stages"][0],
        {"kind": "labels", "name": "lab", "policy": "sft", "split": split, "source": source},
        {"kind": "labels", "name": "other", "policy": "sft", "split": "heldout", "source": source},
        {"kind": "labels", "name": "again", "policy": "sft", "split": split, "source": source | {"chains": 2}},
        {"kind": "labels", "name": "asked", "policy": "sft", "source": {"kind": "judge", "of": "lab"}},
        {"kind": "labels", "name": "asked_other", "policy": "sft", "source": {"kind": "judge", "of": "other"}},
        {"kind": "labels", "name": "both", "source": {"kind": "consensus", "of": ["lab", "asked"]}},
        {"kind": "prm", "name": "prm", "policy": "sft", "labels": {"kind": "stage", "stage": "lab"}},
        {
            "kind": "evaluate",
            "name": "evaluate",
            "policies": ["sft"],
            "judge": "prm",
            "searches": [BEST],
            "labels": {"kind": "stage", "stage": measured},
        }
        | section,
    ]
    return recipe_from(parse(json.dumps(RECIPE | {"stages": stages}), "r"))


def test_a_judge_may_be_measured_on_labels_it_was_not_trained_on() -> None:
    for name in ("other", "asked_other"):
        assert learned("train", name).stages[-1].labels.stage == name
    assert learned("train", "again", judge={"kind": "judge"}).stages[-1].labels.stage == "again", "nothing was trained"


@pytest.mark.parametrize(
    ("split", "measured", "section", "message"),
    [
        ("train", "lab", {}, "was trained on these labels, which"),
        ("train", "asked", {}, r"on others of the same chains \(lab\), which"),
        ("train", "both", {}, r"on others of the same chains \(lab\), which"),
        ("train", "again", {}, "labels of the same problems, the first of 'train'"),
        ("heldout", "other", {}, "stage 'lab' takes problems of 'heldout'"),
        ("train", "other", {"judge": {"kind": "confidence"}}, "do not tell the likeliest tokens"),
    ],
)
def test_what_was_learned_from_is_no_measure(split: str, measured: str, section: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        learned(split, measured, **section)
