"""`--set key.path=value`: changes to a recipe from the command line, before it is validated."""

from __future__ import annotations

import re
from typing import Any

from o1kit.recipe.source import Fault, Path, Source, parse
from o1kit.registry import suggestion

_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def apply(source: Source, text: str) -> None:
    """Sets one value; a stage may be named by its position (`stages[0]`) or its name (`stages.sft`)."""
    origin = f"--set {text}"
    name, equals, value_text = text.partition("=")
    parts = [index or word for index, word in _PART.findall(name)]
    if not equals or not parts:
        source.faults.append(Fault(origin, (), "write --set key.path=value, for example --set stages.sft.steps=100"))
        return
    parsed = parse(value_text, origin) if value_text.strip() else Source(origin)
    if parsed.faults:
        source.faults.extend(Fault(origin, (), fault.message) for fault in parsed.faults)
        return
    target: Any = source.data
    path: Path = ()
    for part in parts[:-1]:
        step = _enter(source, target, path, part, origin)
        if step is None:
            return
        target, path = step
    _assign(source, target, path, parts[-1], parsed.data, origin)


def _enter(source: Source, target: Any, path: Path, part: str, origin: str) -> tuple[Any, Path] | None:
    """One step down; a section that is missing is made."""
    if isinstance(target, list):
        index = _index(source, target, path, part, origin)
        return None if index is None else (target[index], (*path, index))
    if not isinstance(target, dict):
        source.faults.append(Fault(origin, path, f"holds a value, not a section: {part!r} cannot be set in it."))
        return None
    if target.get(part) is None:
        target[part] = {}
        _note(source, (*path, part), origin)
    return target[part], (*path, part)


def _assign(source: Source, target: Any, path: Path, part: str, value: Any, origin: str) -> None:
    if isinstance(target, dict):
        target[part] = value
        _note(source, (*path, part), origin)
    elif isinstance(target, list):
        index = _index(source, target, path, part, origin)
        if index is not None:
            target[index] = value
            _note(source, (*path, index), origin)
    else:
        source.faults.append(Fault(origin, path, f"holds a value, not a section: {part!r} cannot be set in it."))


def _index(source: Source, target: list[Any], path: Path, part: str, origin: str) -> int | None:
    if part.isdigit() and int(part) < len(target):
        return int(part)
    names = [item.get("name") if isinstance(item, dict) else None for item in target]
    if part in names:
        return names.index(part)
    known = [n for n in names if isinstance(n, str)] or [str(i) for i in range(len(target))]
    source.faults.append(Fault(origin, path, f"has no entry {part!r}.{suggestion(part, known)}"))
    return None


def _note(source: Source, path: Path, origin: str) -> None:
    """The value and all below it now come from the command line."""
    for places in (source.keys, source.values):
        for known in [p for p in places if p[: len(path)] == path]:
            del places[known]
    source.keys[path] = source.values[path] = origin
