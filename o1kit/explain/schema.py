"""The recipe's JSON schema as a tree to walk along with a recipe's values: types, ranges, kinds and documentation.

The schema is the one that `o1kit schema` prints, so plugins' sections are described like built-in ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Node = dict[str, Any]
"""One schema, with what it refers to put in its place."""

_TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}
_BOUNDS = {
    "minimum": ">= {}",
    "exclusiveMinimum": "> {}",
    "maximum": "<= {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "pattern": "matches {}",
}


class Schema:
    """A JSON schema with its definitions."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self._definitions: dict[str, Node] = root.get("$defs", {})

    def resolve(self, node: Node) -> Node:
        """The node with its reference followed; what stands beside the reference counts more."""
        while "$ref" in node:
            target = self._definitions[node["$ref"].rsplit("/", 1)[-1]]
            beside = {key: value for key, value in node.items() if key != "$ref"}
            node = {**target, "section": target.get("description", ""), **beside}
        return node

    def members(self, node: Node) -> list[Node]:
        """What a union may hold, or the one node."""
        node = self.resolve(node)
        options = node.get("anyOf") or node.get("oneOf")
        return [m for option in options for m in self.members(option)] if options else [node]

    def choose(self, node: Node, value: Any) -> Node:
        """The member of a union that describes a value."""
        members = self.members(node)
        if isinstance(value, Mapping):
            objects = [m for m in members if m.get("type") == "object"]
            kind = value.get("kind")
            named = [m for m in objects if kind is not None and kind in kinds_of(m)]
            return (named or objects or members)[0]
        wanted = "array" if isinstance(value, list) else "object" if value is None else ""
        return next((m for m in members if m.get("type") == wanted), members[0])

    def child(self, node: Node, part: str | int, value: Any) -> Node | None:
        """The schema of one entry of a section, map or list; None where there can be none."""
        chosen = self.choose(node, value)
        if isinstance(part, int):
            fixed = chosen.get("prefixItems", [])
            found = fixed[part] if part < len(fixed) else chosen.get("items")
        else:
            found = chosen.get("properties", {}).get(part)
            if found is None and "properties" not in chosen:
                found = chosen.get("additionalProperties")
        if found is True:
            return {}
        return self.resolve(found) if isinstance(found, dict) else None

    def kinds(self, node: Node) -> dict[str, str]:
        """The kinds that a union offers, each with the first line of its documentation."""
        found: dict[str, str] = {}
        for member in self.members(node):
            for kind in kinds_of(member):
                found[kind] = first_line(member.get("section") or member.get("description", ""))
        return found

    def type_text(self, node: Node) -> str:
        """The type in words."""
        members = self.members(node)
        return " or ".join(dict.fromkeys(self._one_type(member) for member in members))

    def _one_type(self, node: Node) -> str:
        if "const" in node:
            return str(node["const"])
        if "enum" in node:
            return f"one of {', '.join(map(str, node['enum']))}"
        kind = node.get("type")
        if kind == "array":
            items = node.get("items")
            return f"list of {self.type_text(items)}" if isinstance(items, dict) and items else "list"
        if kind == "object":
            inner = node.get("additionalProperties")
            if "properties" in node or not isinstance(inner, dict):
                return "section" if "properties" in node else "map"
            return f"map of names to {self.type_text(inner)}"
        return _TYPES.get(str(kind), "anything")

    def range_text(self, node: Node) -> str:
        """The bounds in words; empty where there are none."""
        bounds = (form.format(_number(m[key])) for m in self.members(node) for key, form in _BOUNDS.items() if key in m)
        return ", ".join(dict.fromkeys(bounds))

    def unit_text(self, node: Node) -> str:
        """What a number, or the numbers of a list, are measured in; empty where it is not said."""
        found = []
        for member in self.members(node):
            items = member.get("items")
            found += [member["unit"]] if "unit" in member else [self.unit_text(items)] if items else []
        return " or ".join(dict.fromkeys(filter(None, found)))


def kinds_of(member: Node) -> list[str]:
    """The values that `kind` may have in a section."""
    kind = member.get("properties", {}).get("kind", {})
    values = [kind["const"]] if "const" in kind else kind.get("enum", [])
    return [str(value) for value in values]


def fields(member: Node) -> Iterator[tuple[str, Node]]:
    """Names and schemas of a section's fields."""
    yield from member.get("properties", {}).items()


def first_line(text: str) -> str:
    """The first line of a documentation."""
    return text.split("\n")[0]


def _number(bound: Any) -> Any:
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound
