"""The schema that editors check recipes with: what o1kit takes, it takes; what is misspelt, it does not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from o1kit.explain.editor import recipe_schema
from o1kit.recipe.source import parse
from tests.json_schema import fits
from tests.recipe.test_loader import GOOD, RECIPES

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs/recipe.schema.json"
SCHEMA: dict[str, Any] = json.loads(FILE.read_text())


def accepted(text: str) -> bool:
    source = parse(text.replace("!unset", ""), "")  # to a reader that does not know the tag, it is an empty value
    assert not source.faults
    return fits(source.data, SCHEMA, SCHEMA["$defs"])


def test_the_published_schema_is_the_code() -> None:
    """Written by `o1kit schema --no-plugins --out docs/recipe.schema.json`."""
    assert FILE.read_text() == recipe_schema()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_name_it_in_their_first_line_and_fulfil_it(path: Path) -> None:
    text = path.read_text()
    lead, _, place = text.splitlines()[0].partition("$schema=")
    assert lead == "# yaml-language-server: "
    assert (path.parent / place).resolve() == FILE
    assert accepted(text)


COMPOSED = """
extends: [base.yaml, "more/data.yaml"]
name: mine-${model.hidden_size}
seed: "${env:SEED}"
model: {hidden_size: 128}
engine: !unset
tasks:
  heldout: {sources: "${tasks.train.sources}", num_problems: "${tasks.train.num_problems}"}
stages:
  sft: {steps: 500, optimizer: {lr: 3e-4}, lora: !unset}
  ppo: !unset
  evaluate:
    +searches: [{kind: sample, num_samples: 4}]
"""


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        COMPOSED,
        "extends: a.yaml\n+stages: [{kind: sft, name: more, steps: 3}]\n",
        "extends: a.yaml\nstages: {ppo: {search: {num_simulations: 8}, loss: {gamma: '${stages.other.loss.gamma}'}}}\n",
        "stages: {sft: {steps: 10}}\ntasks: {train: {num_problems: 50}}\n",
        *re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/recipes.md").read_text(), re.DOTALL),
        GOOD.replace("seed: 1", "").replace("clip_ratio: 0.2", "clip_ratio: 2e-1"),
    ],
)
def test_what_the_language_allows_is_accepted(text: str) -> None:
    assert accepted(text)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("steps: 5", "stepz: 5"),
        ("steps: 5", "steps: five"),
        ("steps: 5", "steps: 0"),
        ("steps: 5", "steps: true"),
        ("noticed: 0.5", "noticed: 1.5"),
        ("kind: mcts, num_simulations", "kind: mctz, num_simulations"),
        ("kind: mcts, num_simulations", "kind: beam, num_simulations"),
        ("name: good", "nam: good"),
        ("name: good\n", ""),
        ("o1kit: 1\n", ""),
        ("name: good", "name: a b"),
        ("o1kit: 1", "o1kit: 2"),
        ("splits: [heldout]", "splits: heldout"),
        ("lr: 1e-5", "lr: $stages"),
    ],
)
def test_what_is_wrong_is_not(right: str, wrong: str) -> None:
    assert right in GOOD and accepted(GOOD)
    assert not accepted(GOOD.replace(right, wrong, 1))


def test_every_field_is_documented() -> None:
    """Editors show it; sections of their own are described by their class."""
    for name, node in SCHEMA["$defs"].items():
        for key, field in node.get("properties", {}).items():
            assert field.get("description"), f"{name}.{key}"
