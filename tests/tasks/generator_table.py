"""Makes o1kit/tasks/generators.json from the installed reasoning_gym: `python -m tests.tasks.generator_table`."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from dataclasses import MISSING, fields
from importlib.metadata import version
from textwrap import dedent
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from reasoning_gym.factory import DATASETS

from o1kit.tasks.generators import (
    ANY,
    DISTRIBUTION,
    RESERVED,
    TABLE,
    TURNED,
    TYPES,
    Comparison,
    fits,
    item_type,
)

UNSURE = {("rearc", "diff_lb")}
"""Options that are of another type than they say: shares, which are called whole numbers."""
SIGNS: dict[type, str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
NAMES = {int: "int", float: "float", bool: "bool", str: "str"}


def name_of(hint: Any) -> str:
    """A type as the table writes it."""
    if get_origin(hint) in (Union, UnionType):
        members = [name_of(member) for member in get_args(hint) if member is not NoneType]
        return f"{members[0]}?" if len(members) == 1 and members[0] != ANY else ANY
    if get_origin(hint) is Literal and all(isinstance(word, str) for word in get_args(hint)):
        return "|".join(get_args(hint))
    if hint in NAMES:
        return NAMES[hint]
    if hint in (tuple, list):
        return f"list[{ANY}]"
    origin, inner = get_origin(hint), [a for a in get_args(hint) if a is not ...]
    if origin in (list, tuple) and len(inner) == 1:
        item = name_of(inner[0])
        return f"list[{item if item in TYPES else ANY}]"
    return ANY


def type_of(option: Any, hint: Any) -> str:
    """The type of one option; nothing is claimed to be known where its own default is of another."""
    default = option.default_factory() if option.default_factory is not MISSING else option.default
    found = name_of(hint)
    if default is None and found != ANY:
        found = f"{found.removesuffix('?')}?"
    item = item_type(found)
    if default is MISSING or (fits(default, found) and (item is None or all(fits(i, item) for i in default or ()))):
        return found
    return ANY


def side_of(node: ast.expr, scope: dict[str, Any]) -> str | float | None:
    """One side of an asserted comparison: an option, `len(option)`, a number, or None for what is neither."""
    text = ast.unparse(node)
    inner = node.args[0] if isinstance(node, ast.Call) and text.startswith("len(") else node
    if isinstance(inner, ast.Attribute) and ast.unparse(inner.value) == "self":
        return text.replace("self.", "")
    if isinstance(inner, ast.Name):
        value = scope.get(inner.id)
        return value if inner is node or value is None else len(value)
    try:
        number = ast.literal_eval(inner)
    except ValueError:
        return None
    return number if isinstance(number, int | float) else None


def rules_of(config: type) -> list[Comparison]:
    """What a generator's own check asserts of its options, as far as it compares them with numbers or one another."""
    found: dict[Comparison, None] = {}
    check = ast.parse(dedent(inspect.getsource(config.validate))).body[0] if hasattr(config, "validate") else None
    for statement in check.body if isinstance(check, ast.FunctionDef) else ():
        if not isinstance(statement, ast.Assert) or not isinstance(statement.test, ast.Compare):
            continue
        scope = vars(sys.modules[config.__module__])
        sides = [side_of(node, scope) for node in (statement.test.left, *statement.test.comparators)]
        for left, sign, right in zip(sides, statement.test.ops, sides[1:], strict=False):
            if left is None or right is None or type(sign) not in SIGNS:
                continue
            word = SIGNS[type(sign)]
            if not isinstance(left, str):
                left, word, right = str(right), TURNED[word], left
            rule = Comparison(left, word, right if isinstance(right, str) or right % 1 else int(right))
            if not rule.options & set(RESERVED):
                found[rule] = None
    return list(found)


def defaults_of(config: type, rules: list[Comparison]) -> dict[str, Any]:
    """The defaults of the options that rules compare; lists are never empty by default."""
    used = {side for rule in rules for side in (rule.left, rule.right)}
    named = {f.name: f for f in fields(config) if f.name in used}  # type: ignore[arg-type]
    made = {n: f.default_factory() if f.default_factory is not MISSING else f.default for n, f in named.items()}
    assert MISSING not in made.values()
    return made


def table_of(title: str, rows: dict[str, Any]) -> str:
    """One part of the table, a line a generator."""
    return f' "{title}": {{\n' + ",\n".join(f"  {json.dumps(n)}: {json.dumps(r)}" for n, r in rows.items()) + "\n }"


def made() -> str:
    """The table of the installed version, as text."""
    generators, rules, defaults = {}, {}, {}
    for name, (_, config) in sorted(DATASETS.items()):
        hints = get_type_hints(config)
        options = sorted((f for f in fields(config) if f.init and f.name not in RESERVED), key=lambda f: f.name)
        types = {f.name: type_of(f, hints[f.name]) for f in options}
        generators[name] = {option: ANY if (name, option) in UNSURE else kind for option, kind in types.items()}
        unknown = {option for option, kind in generators[name].items() if kind == ANY}
        held = [rule for rule in rules_of(config) if not rule.options & unknown]
        if held:
            rules[name], defaults[name] = held, defaults_of(config, held)
    parts = {"generators": generators, "rules": rules, "defaults": defaults}
    body = ",\n".join(table_of(title, rows) for title, rows in parts.items())
    return f'{{\n "version": {json.dumps(version(DISTRIBUTION))},\n{body}\n}}\n'


if __name__ == "__main__":
    TABLE.write_text(made(), encoding="utf-8")
    print(f"{TABLE}: reasoning_gym {version(DISTRIBUTION)}, {len(DATASETS)} generators")
