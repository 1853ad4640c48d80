"""A small reading of JSON Schema, as far as the published schemas use it."""

from __future__ import annotations

import re
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "integer": (int,),
    "number": (int, float),
}
IGNORED = {"title", "description", "default", "$defs", "discriminator", "$ref", "type", "then", "unit"}


def fits(value: Any, node: Any, definitions: dict[str, Any]) -> bool:
    """Whether a value fulfils a schema; a keyword that is not known here is an error."""
    if isinstance(node, bool):
        return node
    if "$ref" in node and not fits(value, definitions[node["$ref"].removeprefix("#/$defs/")], definitions):
        return False
    if "type" in node:
        is_switch = isinstance(value, bool) and node["type"] != "boolean"
        if is_switch or not isinstance(value, TYPES[node["type"]]):
            return False
    return all(_keyword(name, wanted, value, node, definitions) for name, wanted in node.items() if name not in IGNORED)


def _keyword(name: str, wanted: Any, value: Any, node: dict[str, Any], definitions: dict[str, Any]) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match name:
        case "const":
            return bool(value == wanted)
        case "enum":
            return value in wanted
        case "anyOf":
            return any(fits(value, option, definitions) for option in wanted)
        case "oneOf":
            return sum(fits(value, option, definitions) for option in wanted) == 1
        case "if":
            return not fits(value, wanted, definitions) or fits(value, node.get("then", True), definitions)
        case "required":
            return not isinstance(value, dict) or set(wanted) <= set(value)
        case "properties":
            known = value if isinstance(value, dict) else {}
            return all(fits(known[key], inner, definitions) for key, inner in wanted.items() if key in known)
        case "additionalProperties":
            more = (
                [v for k, v in value.items() if k not in node.get("properties", {})] if isinstance(value, dict) else []
            )
            return all(fits(inner, wanted, definitions) for inner in more)
        case "items" | "prefixItems":
            entries = value if isinstance(value, list) else []
            pairs = zip(entries, wanted, strict=False) if name == "prefixItems" else [(e, wanted) for e in entries]
            return (name == "items" and "prefixItems" in node) or all(fits(e, inner, definitions) for e, inner in pairs)
        case "minimum":
            return not number or value >= wanted
        case "exclusiveMinimum":
            return not number or value > wanted
        case "maximum":
            return not number or value <= wanted
        case "exclusiveMaximum":
            return not number or value < wanted
        case "minLength" | "maxLength" | "pattern":
            return not isinstance(value, str) or _text(name, wanted, value)
        case "minItems" | "maxItems":
            return not isinstance(value, list) or (len(value) >= wanted if name == "minItems" else len(value) <= wanted)
    raise NotImplementedError(name)


def _text(name: str, wanted: Any, value: str) -> bool:
    if name == "pattern":
        return re.search(wanted, value) is not None
    return len(value) >= wanted if name == "minLength" else len(value) <= wanted
