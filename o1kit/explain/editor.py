"""The recipe's JSON schema as editors need it: files that extend others, changes and references are no mistakes.

What is missing is told at the top only: a file that extends another need not repeat what it inherits, nor need an
overlay what it changes. The rest is up to `o1kit validate`, which sees the composed recipe.
"""

from __future__ import annotations

import json
from typing import Any

from o1kit.explain.schema import Node

REFERENCE = "Reference"
"""Definition of a value that stands for another: `${path}`, `${env:NAME}`."""
_UNIONS = ("anyOf", "oneOf")


def recipe_schema() -> str:
    """What `o1kit schema` prints: the schema that recipes are edited with, and its documentation."""
    from o1kit.recipe.schema import Recipe

    return json.dumps(editor_schema(Recipe.model_json_schema()), indent=1, ensure_ascii=False) + "\n"


def editor_schema(root: Node) -> Node:
    """The schema that recipes are edited with, from the one that composed recipes fulfil."""
    definitions: dict[str, Any] = {name: _loosened(node) for name, node in root["$defs"].items()}
    definitions[REFERENCE] = {
        "type": "string",
        "pattern": r"\$\{[^{}]+\}",
        "description": "A reference to another value of the recipe, or to an environment variable: docs/recipes.md.",
    }
    whole = _loosened({key: value for key, value in root.items() if key != "$defs"})
    stages = root["properties"]["stages"]["items"]
    # Inherited stages are changed by their names; `null` is what `!unset` leaves of a value for an editor.
    by_name = {"type": "object", "additionalProperties": _or_reference(_loosened(stages))}
    whole["properties"]["stages"]["anyOf"].append(by_name)
    whole["properties"]["extends"] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        "description": "Recipe files that this one changes, from left to right; relative to this file.",
    }
    # What changes a recipe, an overlay too, names no version of the format, and lacks a part of what makes a recipe.
    whole["if"] = {"anyOf": [{"required": ["o1kit"]}, {"required": sorted({*root["required"]} - {"o1kit", "name"})}]}
    whole["then"] = {"anyOf": [{"required": ["extends"]}, {"required": root["required"]}]}
    return {"$defs": dict(sorted(definitions.items())), **whole}


def _loosened(node: Any) -> Any:
    """A schema whose values may be references, whose lists may be appended to, and that misses nothing."""
    if isinstance(node, list):
        return [_loosened(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: value for key, value in node.items() if key not in ("required", "discriminator")}
    for key in _UNIONS:
        if key in found:  # a section without its kind fits several members
            found.pop(key)
            found["anyOf"] = _loosened(node[key])
    if "items" in found:
        found["items"] = _or_reference(_loosened(node["items"]))
    if isinstance(found.get("additionalProperties"), dict):
        found["additionalProperties"] = _or_reference(_loosened(node["additionalProperties"]))
    if "properties" in found:
        found["properties"] = _properties(node["properties"])
    return found


def _properties(properties: dict[str, Node]) -> dict[str, Node]:
    """The fields of a section, and `+name` for each that is a list."""
    found = {}
    for name, node in properties.items():
        found[name] = _or_reference(_loosened(node))
        arrays = [n for n in (node, *node.get("anyOf", ())) if n.get("type") == "array"]
        if arrays:
            entry = {"type": "array", "items": _or_reference(_loosened(arrays[0].get("items", {})))}
            found[f"+{name}"] = {**entry, "description": f"Appended to the inherited {name}."}
    return found


def _or_reference(node: Any) -> Any:
    """A schema that a reference, or `!unset`, fulfils too; names of kinds and versions are written out."""
    if not isinstance(node, dict) or "const" in node or not node:
        return node
    about = {key: node[key] for key in ("title", "description", "default") if key in node}
    inner = {key: value for key, value in node.items() if key not in about}
    members = inner["anyOf"] if set(inner) == {"anyOf"} else [inner]
    more = [{"$ref": f"#/$defs/{REFERENCE}"}, {"type": "null"}]
    return {**about, "anyOf": [*members, *(m for m in more if m not in members)]}
