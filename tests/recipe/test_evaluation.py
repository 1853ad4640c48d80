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
