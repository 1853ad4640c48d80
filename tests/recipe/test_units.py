"""Every number of a recipe says in the schema what it is measured in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from o1kit.recipe.schema import Recipe

ROOT = Recipe.model_json_schema()
PURE = {"number", "count", "share"}
MEASURED = {"tokens", "optimizer steps", "seconds", "MiB", "KiB", "bytes", "words", "policy updates"}
SUFFIXES = {
    "_s": "seconds", "_seconds": "seconds", "_mb": "MiB", "_kb": "KiB", "_tokens": "tokens", "token_budget": "tokens",
}  # fmt: skip
SAID = {
    r"\bin seconds\b": "seconds",
    r"\bin tokens\b": "tokens",
    r"\bin MiB\b": "MiB",
    r"^Optimizer steps": "optimizer",
}


def numbers(node: Any) -> Iterator[dict[str, Any]]:
    """The schemas of the numbers in one field, in lists and maps too; not of sections, which are looked at apart."""
    if not isinstance(node, dict) or "const" in node:
        return
    if node.get("type") in ("integer", "number"):
        yield node
    inner = [*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("prefixItems", ())]
    for child in (*inner, node.get("items"), node.get("additionalProperties")):
        yield from numbers(child)


FIELDS = {
    f"{section}.{name}": (name, field)
    for section, node in (("Recipe", ROOT), *ROOT["$defs"].items())
    for name, field in node.get("properties", {}).items()
    if any(numbers(field))
}


@pytest.mark.parametrize("path", FIELDS)
def test_every_number_has_a_unit_or_is_marked_as_a_pure_one(path: str) -> None:
    """Pure are the types Count, Probability, Positive and NonNegative, and what has a mark of its own."""
    name, field = FIELDS[path]
    for number in numbers(field):
        assert number.get("unit") in PURE | MEASURED, f"{path}: add a mark of o1kit.config to its type, such as TOKENS"
        for suffix, unit in SUFFIXES.items():
            assert not name.endswith(suffix) or number["unit"] == unit
        for pattern, unit in SAID.items():
            assert not re.search(pattern, field.get("description", "")) or number["unit"].startswith(unit)


def test_there_are_fields_of_every_unit() -> None:
    assert {n["unit"] for _, field in FIELDS.values() for n in numbers(field)} == PURE | MEASURED
