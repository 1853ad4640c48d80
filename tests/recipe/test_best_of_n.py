"""What a recipe may say about Best-of-N, and what it is told where that does not fit together."""

from __future__ import annotations

from typing import Any

import pytest

from o1kit.errors import RecipeError
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import parse

GOOD = """\
o1kit: 1
name: good
model: {kind: scratch, hidden_size: 64, num_heads: 4}
tasks:
  train: {num_problems: 40, sources: [{kind: reasoning_gym, generator: letter_counting}]}
  heldout: {num_problems: 4, sources: [{kind: reasoning_gym, generator: letter_counting}]}
stages:
  - {kind: sft, name: sft, steps: 5}
  - {kind: prm, name: prm, policy: sft, labels: {kind: monte_carlo, num_problems: 4}, steps: 2}
  - kind: ppo
    name: ppo
    policy: sft
    judge: prm
    search: {kind: best_of_n, num_samples: 6, adaptive: {kind: certain}, diversity: {temperatures: [0.8, 1.2]}}
  - kind: evaluate
    name: eval
    policies: [sft, ppo]
    judge: prm
    searches:
      - {kind: sample, num_samples: 8}
      - {kind: best_of_n, num_samples: 8, select: best}
      - kind: best_of_n
        num_samples: 16
        select: majority
        adaptive:
          kind: posterior
          confidence: 0.95
        diversity:
          prompts: ["Think. {problem}", "{problem} Be brief."]
          models: [sft, model]
      - {kind: beam, token_budget: 200}
"""


def recipe(text: str) -> Recipe:
    return recipe_from(parse(text, "r.yaml"))


def test_a_recipe_may_ask_for_all_of_it() -> None:
    search: Any = recipe(GOOD).stages[3].searches[2]  # type: ignore[union-attr]
    assert search.title == "adaptive majority<=16 (posterior 0.95, 2 prompts, with sft/model)"
    assert search.models == ("sft", "model")
    again = Recipe.model_validate(recipe(GOOD).model_dump(mode="json"))
    assert again == recipe(GOOD), "as it is written next to a run's results"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        (
            "kind: posterior",
            "kind: posteriori",
            26,
            "adaptive.kind: unknown kind 'posteriori'. Did you mean 'posterior'?",
        ),
        ("confidence: 0.95", "confidense: 0.95", 27, "unknown key 'confidense'. Did you mean 'confidence'?"),
        ("confidence: 0.95", "confidence: 0.5", 27, "greater than 0.5"),
        ("kind: posterior\n", "kind: posterior\n          batch: 16\n", 22, "it could spare none"),
        ('"Think. {problem}"', '"Think."', 29, "a prompt must hold {problem} once"),
        ("models: [sft, model]", "models: [sfft]", 22, "there is no stage 'sfft'. Did you mean 'sft'?"),
        ("models: [sft, model]", "models: [prm]", 22, "stage 'prm' is of kind prm"),
        ("models: [sft, model]", "temperature: [0.5, 1.0]", 30, "Did you mean 'temperatures'?"),
        (
            "models: [sft, model]\n",
            "temperatures: [0.5, 1.5]\n        temperature: 0.7\n",
            31,
            "searches[2].temperature: `diversity.temperatures` says how samples are drawn",
        ),
        ("{temperatures: [0.8, 1.2]}}", "{models: [sft]}}", 14, "PPO learns from its own policy's samples"),
        ("temperatures: [0.8, 1.2]}", "temperatures: [0.8, 1.2]}, temperature: 0.9", 14, "this temperature would not"),
        ("{kind: beam, token_budget: 200}", "{kind: sample, num_samples: 4}", 31, "would be called 'pass@1' in tables"),
        (
            "{kind: beam, token_budget: 200}",
            "{kind: best_of_n, num_samples: 8, select: best, adaptive: null, diversity: {prompts: ['{problem}']}}\n"
            "      - {kind: best_of_n, num_samples: 8, select: best, diversity: {prompts: ['{problem}.']}}",
            32,
            "'rm@8 (1 prompt)' in tables, as searches[3] is, which differs from it. Move one of them to another",
        ),
    ],
)
def test_faults(old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    with pytest.raises(RecipeError) as caught:
        recipe(GOOD.replace(old, new, 1))
    message = next(row for row in str(caught.value).splitlines() if words in row)
    assert f"r.yaml:{line}:" in message


def test_what_sets_searches_apart_is_in_their_names() -> None:
    """None of these may share a row with another."""
    searches = [
        "{kind: sample}",
        "{kind: sample, temperature: 0.7, num_samples: 8}",
        "{kind: beam, token_budget: 200}",
        "{kind: beam, token_budget: 300}",
        "{kind: beam, min_p: 0.1}",
        "{kind: mcts}",
        "{kind: mcts, temperature: 0.7}",
        "{kind: mcts, token_budget: 200}",
        *(f"{{kind: best_of_n, select: {how}}}" for how in ("majority", "best", "weighted")),
        *(f"{{kind: best_of_n, adaptive: {{kind: {how}}}}}" for how in ("certain", "window", "posterior", "threshold")),
        "{kind: best_of_n, adaptive: {kind: certain, batch: 2}}",
        "{kind: best_of_n, adaptive: {kind: window, size: 4}}",
        "{kind: best_of_n, adaptive: {kind: window, agreement: 0.8}}",
        "{kind: best_of_n, adaptive: {kind: posterior, min_samples: 2}}",
        "{kind: best_of_n, token_budget: 99}",
        "{kind: best_of_n, diversity: {temperatures: [0.5, 1.0]}}",
        "{kind: best_of_n, diversity: {models: [sft]}}",
        "{kind: best_of_n, diversity: {prompts: ['{problem}!']}}",
    ]
    text = GOOD[: GOOD.index("      - {kind: sample")] + "".join(f"      - {search}\n" for search in searches)
    stage: Any = recipe(text).stages[3]
    assert len({search.title for search in stage.searches}) == len(searches)


def test_a_server_holds_one_model() -> None:
    text = """\
o1kit: 1
name: served
model: {kind: hf, source: somewhere}
engine: {kind: http, endpoints: ["http://127.0.0.1:8000/v1"]}
tasks: {heldout: {num_problems: 4, sources: [{kind: reasoning_gym, generator: letter_counting}]}}
stages:
  - kind: evaluate
    name: eval
    policies: [model]
    searches:
      - {kind: best_of_n, select: majority, diversity: {models: [model]}}
"""
    with pytest.raises(RecipeError, match="an http engine serves one model, and this search also uses"):
        recipe(text)
    assert recipe(text.replace("models: [model]", "temperatures: [0.5, 1.0]"))
