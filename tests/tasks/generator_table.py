"""Makes o1kit/tasks/generators.json from the installed reasoning_gym: `python -m tests.tasks.generator_table`."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from importlib.metadata import version
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from reasoning_gym.factory import DATASETS

from o1kit.tasks.generators import ANY, DISTRIBUTION, RESERVED, TABLE, TYPES, fits, item_type

UNSURE = {("rearc", "diff_lb")}
"""Options that are of another type than they say: shares, which are called whole numbers."""
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


def made() -> str:
    """The table of the installed version, as text."""
    generators = {}
    for name, (_, config) in sorted(DATASETS.items()):
        hints = get_type_hints(config)
        options = sorted((f for f in fields(config) if f.init and f.name not in RESERVED), key=lambda f: f.name)
        types = {f.name: type_of(f, hints[f.name]) for f in options}
        generators[name] = {option: ANY if (name, option) in UNSURE else kind for option, kind in types.items()}
    rows = [f"  {json.dumps(name)}: {json.dumps(options)}" for name, options in generators.items()]
    body = ",\n".join(rows)
    return f'{{\n "version": {json.dumps(version(DISTRIBUTION))},\n "generators": {{\n{body}\n }}\n}}\n'


if __name__ == "__main__":
    TABLE.write_text(made(), encoding="utf-8")
    print(f"{TABLE}: reasoning_gym {version(DISTRIBUTION)}, {len(DATASETS)} generators")
