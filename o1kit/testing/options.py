"""What every section must keep to: bad input is refused where it is written, with what to write instead."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from o1kit.config import docs
from o1kit.errors import RecipeError
from o1kit.recipe.loader import load_recipe
from o1kit.testing.check import check
from o1kit.testing.subject import Subject

SUMS = {"kind": "reasoning_gym", "generator": "chain_sum"}
LONG = 4
"""Letters of a name from which on a slip in it must be recognised."""


def recipe_with(group: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe that holds the section where sections of its group belong."""
    evaluate: dict[str, Any] = {"kind": "evaluate", "name": "evaluate", "policies": ["model"]}
    recipe: dict[str, Any] = {
        "o1kit": 1,
        "name": "kit",
        "model": {"kind": "scratch"},
        "tasks": {"heldout": {"num_problems": 4, "sources": [SUMS]}},
        "stages": [evaluate],
    }
    match group:
        case "searches":
            evaluate["searches"] = [section]
        case "rewards":
            evaluate["judge"] = section
        case "tasks":
            recipe["tasks"]["heldout"]["sources"] = [section]
        case "engines":
            recipe["engine"] = section
    return recipe


def refusal(group: str, section: Mapping[str, Any]) -> str:
    """All that `o1kit validate` says against a recipe with the section; empty where it says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(json.dumps(recipe_with(group, section), indent=1), encoding="utf-8")
        try:
            load_recipe(path)
        except RecipeError as error:
            return str(error)
    return ""


def about(text: str, key: str) -> str:
    """The lines of a refusal that name a key of the section."""
    return "\n".join(line for line in text.splitlines() if f".{key}:" in line or f"{key!r}" in line)


@check(
    why="a misspelt option that is ignored is an experiment with other settings than its author believes",
    fix="derive the section from o1kit.config.Config (or SearchSection, RewardSection), which forbids other keys",
)
def unknown_key(subject: Subject) -> str | None:
    """A slip in any key is refused, with the right key."""
    keys = list(type(subject.config).model_fields)
    for key in keys:
        slip = key[:2] + key[1:]
        if slip in keys:
            continue
        told = about(refusal(subject.group, {**subject.section, slip: subject.section.get(key, 1)}), slip)
        if "unknown key" not in told:
            return f"the key {slip!r} is taken"
        if len(key) >= LONG and f"Did you mean {key!r}?" not in told:
            return f"the key {slip!r} is refused without naming {key!r}: {told}"
    return None


def numbers(subject: Subject) -> Iterator[tuple[str, dict[str, Any]]]:
    """The numeric options and what the schema says of each."""
    for name, field in type(subject.config).model_json_schema()["properties"].items():
        for shape in field.get("anyOf", [field]):
            if shape.get("type") in ("integer", "number") and "enum" not in shape and "const" not in shape:
                yield name, shape


@check(
    why="a number out of its range fails after hours, or worse, does not fail",
    fix="give every number a type with a range: o1kit.config.Count, Positive, Probability, or Field(ge=..., le=...)",
)
def out_of_range(subject: Subject) -> str | None:
    """Every number has a bound, and what lies beyond it is refused."""
    for name, shape in numbers(subject):
        beyond = list(_beyond(shape))
        if not beyond:
            return f"the option {name!r} may be any number: give it a range"
        for value in beyond:
            if not about(refusal(subject.group, {**subject.section, name: value}), name):
                return f"{name}: {value} is taken, which is out of its range"
    return None


def _beyond(shape: Mapping[str, Any]) -> Iterator[float | int]:
    step: Any = 1 if shape["type"] == "integer" else 0.5
    for bound, value in (("minimum", -step), ("exclusiveMinimum", 0), ("maximum", step), ("exclusiveMaximum", 0)):
        if bound in shape:
            number = shape[bound] + value
            yield int(number) if shape["type"] == "integer" else float(number)


@check(
    why="an answer to a wrong value should come from `o1kit validate`, not from the middle of a run",
    fix="annotate every option with the type it really has; `Any` and `dict` accept everything",
)
def wrong_type(subject: Subject) -> str | None:
    """A text where a number belongs is refused."""
    for name, _ in numbers(subject):
        if not about(refusal(subject.group, {**subject.section, name: "many"}), name):
            return f"{name}: 'many' is taken, and the option is a number"
    return None


@check(
    why="`o1kit explain`, `--help` and editors show this text and nothing else",
    fix='write a docstring under the class and under every field, as in `size: Count = 4` / `"""How large."""`',
)
def documented(subject: Subject) -> str | None:
    """The section and all its options say what they are."""
    section = type(subject.config)
    if not (section.__doc__ or "").strip():
        return f"the section {section.__name__} has no docstring"
    silent = [name for name, text in docs(section).items() if not text.strip()]
    return f"no docstring under {', '.join(silent)}" if silent else None


OPTIONS = (unknown_key, out_of_range, wrong_type, documented)
