"""Files and options of pieces that do not belong together: a recipe, or faults; never anything else, never a secret."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from o1kit.errors import RecipeError
from o1kit.recipe.loader import load
from tests.recipe.test_composition import BASE

PIECES = """!unset|!replace {a: 1}|!replace|!replace []|{kind: mcts}|{kind: beam, num_beams: 2}|[1, 2]|[]|{}|null|3|- 1
"${engine.max_batch}"|"${stages.sft}"|"${tasks}"|"${stages}"|"${a.b.c}"|"${stages.sft.name}x"|"${stages[0].steps}"
"a${env:O1KIT_X}"|"${env:O1KIT_X}"|"$${"|"${"|{+a: [1]}|{sft: !unset}|{sft: {name: !unset}}|{sft: {kind: prm}}|!unset x
{eval: {+searches: [{kind: greedy}]}}|&a [*a]|*a|{<<: {a: 1}}|!!set {a}|{? [a] : b}|{name: x}|"\\0"|'{'|\u00e9|1e999|-
""".replace("\n", "|").split("|")
KEYS = [
    "stages",
    "+stages",
    "engine",
    "+engine",
    "model",
    "tasks",
    "+tasks",
    "extends",
    "+extends",
    "name",
    "seed",
    "+",
    "o1kit",
    "grading",
    "a",
]
INNER = ["sft", "eval", "steps", "kind", "+searches", "name", "max_batch"]
PATHS = [
    "stages",
    "stages.sft.steps",
    "stages.sft.kind",
    "stages[0]",
    "engine.kind",
    "name",
    "tasks.train.sources[0]",
    "a.b",
    "x[",
    ".",
]


def value(random: Random, depth: int = 0) -> str:
    if depth > 2 or random.random() < 0.6:
        return random.choice(PIECES)
    inside = [value(random, depth + 1) for _ in range(random.randint(0, 3))]
    if random.random() < 0.5:
        return "{" + ", ".join(f"{random.choice(KEYS + INNER)}: {item}" for item in inside) + "}"
    return f"[{', '.join(inside)}]"


def layer(random: Random, *start: str) -> str:
    return "\n".join([*start, *(f"{key}: {value(random)}" for key in random.sample(KEYS, random.randint(0, 3)))]) + "\n"


@pytest.mark.parametrize("count", [60, pytest.param(200, marks=pytest.mark.slow)])
def test_any_files_and_options_are_a_recipe_or_faults(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("O1KIT_X", "zq7secret")
    Path("base.yaml").write_text(BASE)
    random = Random(count)
    good, told = 0, list[str]()
    for _ in range(count):
        Path("a.yaml").write_text(layer(random, *(["extends: base.yaml"] if random.random() < 0.8 else [])))
        Path("o.yaml").write_text(layer(random))
        options = [
            f"{random.choice(['', '+'])}{random.choice(PATHS)}={value(random)}" for _ in range(random.randint(0, 2))
        ]
        try:
            load(Path("a.yaml"), options, [Path("o.yaml")] if random.random() < 0.5 else [])
            good += 1
        except RecipeError as error:
            told.append(str(error))
    assert good + len(told) == count
    assert good
    assert told
    assert all(message.strip() and "zq7secret" not in message for message in told)
