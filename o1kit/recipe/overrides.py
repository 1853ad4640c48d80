"""`--set key.path=value`: changes to a recipe from the command line, the last layer before it is validated.

A value is written as in a recipe, lists and maps in their flow form, and it meets what is inherited as one of a file
does: `--set stages.sft.steps=5`, `--set engine.max_batch=!unset`, `--set '+stages.eval.splits=[harder]'`.
"""

from __future__ import annotations

from o1kit.nearest import nearest
from o1kit.recipe.merge import Merger
from o1kit.recipe.nodes import UNSET, Node, Path, entry_names, index_of, steps
from o1kit.recipe.source import MAX_DEPTH, Fault, Source, option_caret, parse
from o1kit.registry import suggestion

EXAMPLE = "write --set key.path=value, for example --set stages.sft.steps=100"


class _Refused(Exception):
    """The option cannot be followed: what is wrong, where in the recipe, and where in the option's text."""

    def __init__(self, message: str, path: Path = (), column: int = 0, meant: str | None = None) -> None:
        super().__init__(message)
        self.path, self.column, self.meant = path, column, meant


def apply(source: Source, text: str, settle: bool = True) -> None:
    """Sets one value; a stage may be named by its position (`stages[0]`) or its name (`stages.sft`).

    Without `settle`, the source's data stays behind its nodes until it is settled: once, after many changes.
    """
    origin = f"--set {text}"
    source.texts[origin] = origin
    assert source.root is not None
    try:
        _change(source, source.root, text, origin)
    except _Refused as error:
        if source.partial and error.path:  # what it is to be set in may be in a file that is missing
            return
        source.faults.append(Fault(origin, error.path, f"{error}{option_caret(origin, error.column)}", error.meant))
        return
    if settle:
        source.settle(source.root)


def _change(source: Source, root: Node, text: str, origin: str) -> None:
    name, equals, _ = text.partition("=")
    plus = name.startswith("+")
    parts, end = steps(name[plus:])
    if not equals or not parts or end + plus < len(name):
        raise _Refused(EXAMPLE, (), end + plus)
    if len(parts) > MAX_DEPTH:
        raise _Refused("no value of a recipe lies so deep.")
    value = _value(text, len(name) + 1, origin)
    last = _column(name, parts, len(parts) - 1)

    def report(fault: Fault) -> None:
        message = fault.message + option_caret(origin, last)
        source.faults.append(Fault(origin, fault.path, message, fault.suggestion))

    merger = Merger(report, source.partial, source.removed)
    target, path, known = root, Path(), len(source.faults)
    made: list[tuple[dict[str, Node], str]] = []
    for i, part in enumerate(parts[:-1]):
        above = target
        target, path = _enter(target, path, part, origin, _column(name, parts, i))
        made += [(above.value, part)] if target.place == origin and not target.value else []
    _assign(merger, target, path, parts[-1], plus, value, last)
    if made and len(source.faults) > known:  # what is refused leaves nothing behind
        section, part = made[0]
        del section[part]


def _value(text: str, start: int, origin: str) -> Node:
    """What stands after the equals sign."""
    written = text[start:]
    if not written.strip():
        return Node(None, origin, origin)
    parsed = parse(written, origin, operators=True)
    if parsed.faults or parsed.root is None:
        fault = parsed.faults[0]
        column = fault.place.removeprefix(f"{origin}:").partition(":")[2]
        raise _Refused(fault.message, (), start + int(column) - 1 if column.isdecimal() else start)
    _belongs_to(parsed.root, origin)
    return parsed.root


def _belongs_to(node: Node, origin: str) -> None:
    """The option is the place of all that it says."""
    node.place = node.key = origin
    children = node.value.values() if isinstance(node.value, dict) else node.value
    for child in children if isinstance(node.value, dict | list) else ():
        _belongs_to(child, origin)


def _enter(target: Node, path: Path, part: str, origin: str, column: int) -> tuple[Node, Path]:
    """One step down; a section that is missing is made."""
    if isinstance(target.value, list):
        index = _index(target, path, part, column)
        return target.value[index], (*path, index)
    if not isinstance(target.value, dict):
        raise _Refused(f"holds a value, not a section: {part!r} cannot be set in it.", path, column)
    found = target.value.get(part)
    if found is None or found.value is None:
        found = target.value[part] = Node({}, origin, origin)
    return found, (*path, part)


def _assign(merger: Merger, target: Node, path: Path, part: str, plus: bool, value: Node, column: int) -> None:
    if isinstance(target.value, dict):
        if part == "kind" and not plus and not value.tag and isinstance(value.value, str):
            _change_kind(merger, target, path, value)
        else:
            merger.into(target.value, {f"{'+' * plus}{part}": value}, path)
    elif isinstance(target.value, list):
        index = _index(target, path, part, column)
        entry = target.value[index]
        if plus:
            raise _Refused("an entry of a list cannot be appended to. Name the list", (*path, index), column)
        if value.tag == UNSET:
            del target.value[index]
        else:
            target.value[index] = merger.over(entry, value, (*path, index))
    else:
        raise _Refused(f"holds a value, not a section: {part!r} cannot be set in it.", path, column)


def _change_kind(merger: Merger, target: Node, path: Path, value: Node) -> None:
    """Options of another kind are out of place: only the name stays."""
    made = merger.named(target, Node({"kind": value}, value.place, value.key), path)
    target.value = made.value


def _index(target: Node, path: Path, part: str, column: int) -> int:
    index = index_of(target.value, part)
    if index is None:
        known = [name for name in entry_names(target.value) if name is not None]
        known = known or [str(i) for i in range(len(target.value))]
        hint = suggestion(part, known) if known else " It is empty."
        raise _Refused(f"has no entry {part!r}.{hint}", path, column, nearest(part, known))
    return index


def _column(name: str, parts: list[str], i: int) -> int:
    """Where a part of the path begins in the option's text."""
    position = 0
    for part in parts[: i + 1]:
        position = name.index(part, position) + len(part)
    return position - len(parts[i])
