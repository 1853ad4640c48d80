"""Names and options of reasoning_gym's generators, checked against the shipped table: nothing is imported for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from o1kit import registry
from o1kit.recipe.interpolate import other_reading
from o1kit.recipe.messages import shown, told
from o1kit.recipe.nodes import Node
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import OPTION, Path, Source
from o1kit.registry import suggestion
from o1kit.tasks.config import ReasoningGymConfig
from o1kit.tasks.generators import RESERVED, Comparison, fits, item_type, table

KIND = "reasoning_gym"
_ERRORS = {
    "bool": ("bool_type", "should be true or false"),
    "int": ("int_type", "should be a whole number"),
    "float": ("float_type", "should be a number"),
    "str": ("string_type", "should be a text"),
    "list": ("list_type", "should be a list"),
}
"""Pydantic's name of the error, and what is said, where an option is not of its type."""


def read_options(source: Source) -> None:
    """Reads numbers as words, or words as numbers, where an option from the command line or the environment needs it.

    A recipe's other fields are read so by their types in the schema, which knows nothing of a generator's options.
    """
    changed = False
    for section in _sections(source.root):
        name, params = section.get("generator"), section.get("params")
        types = table().generators.get(name.value) if name is not None and isinstance(name.value, str) else None
        if types is not None and params is not None and isinstance(params.value, dict):
            for option, node in params.value.items():
                changed = _read(node, types.get(option)) or changed
    if changed and source.root is not None:
        source.settle(source.root)


def _sections(root: Node | None) -> list[dict[str, Node]]:
    """The sections of all sources that are generators, as far as they are written as such."""
    found = []
    for split in _values(_inside(root, "tasks")):
        for section in _values(_inside(split, "sources")):
            kind = _inside(section, "kind")
            if kind is not None and kind.value == KIND:
                found.append(section.value)
    return found


def _inside(node: Node | None, key: str) -> Node | None:
    return node.value.get(key) if node is not None and isinstance(node.value, dict) else None


def _values(node: Node | None) -> list[Node]:
    value = node.value if node is not None else None
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _read(node: Node, kind: str | None) -> bool:
    """Reads one value, or the items of a list, as its type needs it; True if that made another of it."""
    if kind is None:
        return False
    item = item_type(kind)
    if item is not None:
        changed = [_read(inner, item) for inner in node.value] if isinstance(node.value, list) else []
        return any(changed)
    if fits(node.value, kind) or not (node.secret or node.place.startswith(OPTION)):
        return False
    other = other_reading(node)
    if other is None or not fits(other, kind):
        return False
    node.value = other
    return True


COMPARED = {"<": "less than", "<=": "at most", ">": "more than", ">=": "at least"}
"""How a comparison is said."""


class _Found(NamedTuple):
    """What is wrong with a name or an option."""

    path: Path
    message: str
    suggestion: str | None = None
    key: bool = False


def check_generators(recipe: Recipe, source: Source) -> None:
    """Adds a fault for each name and option that reasoning_gym does not know, and for options of a wrong type.

    Where another version than the table's is installed there are none: a run's rehearsal asks that version itself.
    """
    found: list[_Found] = []
    for split, config in recipe.tasks.items():
        for i, section in enumerate(config.sources):
            if isinstance(section, ReasoningGymConfig):
                path = ("tasks", split, "sources", i)
                found += _wrong(section, path)
                teachers = registry.names("teachers") if section.teacher is not None else []
                if section.teacher is not None and section.teacher not in teachers:
                    text = f"unknown teacher {shown(section.teacher)}.{suggestion(section.teacher, teachers)}"
                    source.fault((*path, "teacher"), text)
    if found and table().judges:
        for wrong in found:
            source.fault(wrong.path, wrong.message, key=wrong.key, suggestion=wrong.suggestion)


def _wrong(section: ReasoningGymConfig, path: Path) -> Iterator[_Found]:
    name, generators = section.generator, table().generators
    types = generators.get(name)
    if types is None:
        text = f"unknown generator {shown(name)}.{suggestion(name, list(generators))}"
        yield _Found((*path, "generator"), text)
        return
    place = (*path, "params")
    wrong = list(_options(section, types, place))
    yield from wrong
    spoiled = {str(found.path[len(place)]) for found in wrong}
    for rule in table().broken(name, {**section.params, **dict.fromkeys(spoiled)}):
        if not spoiled & rule.options:  # one fault an option: another may only follow from it
            option = [option for option in section.params if option in rule.options][-1]  # of two, the one written last
            spoiled.add(option)
            yield _broken(name, option, rule, section.params, place)


def _broken(name: str, option: str, rule: Comparison, params: Mapping[str, Any], path: Path) -> _Found:
    """What an option must be, beside a number or beside another option."""
    value = params[option]
    if isinstance(rule.right, str):
        rule = rule if rule.left == option else rule.turned
        other = str(rule.right)
        held = shown(table().values(name, params)[other])
        held = held if other in params else f"its default, {held}"
        return _Found((*path, option), f"should be {COMPARED[rule.sign]} {other} ({held}), got {shown(value)}.")
    bounds = [r for r in table().rules[name] if r.left == rule.left and not isinstance(r.right, str)]
    ends = " and ".join(f"{COMPARED[r.sign]} {r.right}" for r in bounds)
    if rule.left != option:
        return _Found((*path, option), f"should hold {ends} items, got {len(value)}.")
    nearest = str(rule.right) if rule.sign in ("<=", ">=") else None
    text = f"should be {COMPARED[rule.sign]} {rule.right}, got {shown(value)}. Use {ends}."
    return _Found((*path, option), text, nearest)


def _options(section: ReasoningGymConfig, types: Mapping[str, str], path: Path) -> Iterator[_Found]:
    """Options that there are not, and those of another type."""
    name = section.generator
    for option, value in section.params.items():
        place = (*path, option)
        if option in RESERVED:
            text = f"the option {option!r} is set by o1kit: use the recipe's `seed` and the split's `num_problems`."
            yield _Found(place, text, key=True)
        elif option not in types:
            hint = suggestion(option, list(types)) if types else " It has no options."
            yield _Found(place, f"unknown option {shown(option)} of {name}.{hint}", key=True)
        else:
            yield from _of_another_type(value, types[option], place)


def _of_another_type(value: Any, kind: str, path: Path) -> Iterator[_Found]:
    item, words = item_type(kind), kind.removesuffix("?").split("|")
    if fits(value, kind):
        for i, inner in enumerate(value or () if item is not None else ()):
            yield from _of_another_type(inner, str(item), (*path, i))
    elif len(words) > 1:
        yield _Found(path, f"unknown {path[-1]} {shown(value)}.{suggestion(str(value), words)}")
    else:
        error, text = _ERRORS["list" if item is not None else words[0]]
        wrong = told({"type": error, "msg": text, "input": value, "loc": path}, None, "")
        yield _Found(path, wrong.message, wrong.suggestion)
