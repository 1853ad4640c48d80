"""What two recipes do differently: resolved values, entries of lists by name, whatever the order of keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from o1kit.explain.resolved import DEFAULT, Entry, Resolved
from o1kit.explain.written import flow
from o1kit.functional.printable import printable


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two recipes differ; None where one of them has nothing there."""

    path: str
    left: Entry | None
    right: Entry | None

    def row(self) -> dict[str, Any]:
        """The difference as data."""
        sides = {"left": self.left, "right": self.right}
        return {"path": self.path} | {
            name: None if entry is None else {"value": entry.value, "origin": entry.origin}
            for name, entry in sides.items()
        }

    def line(self) -> str:
        """The difference as text."""
        return printable(f"{self.path or 'recipe'}: {_side(self.left)} -> {_side(self.right)}")


def differences(left: Resolved, right: Resolved, text: str = "") -> list[Difference]:
    """All of them, in the order of the first recipe; those below one path only, if one is given.

    Raises:
        RecipeError: neither recipe has that path.
    """
    return list(_compare(left, right, *_ends(left, right, text)))


def _ends(left: Resolved, right: Resolved, text: str) -> tuple[Entry | None, Entry | None]:
    """The entries at a path; one of them may be missing."""
    from o1kit.errors import RecipeError

    found: list[Entry | None] = []
    error: RecipeError | None = None
    for recipe in (left, right):
        try:
            found.append(recipe.find(text))
        except RecipeError as missing:
            error = error or missing
            found.append(None)
    if error is not None and found == [None, None]:
        raise error
    return found[0], found[1]


def _compare(a: Resolved, b: Resolved, left: Entry | None, right: Entry | None) -> Iterator[Difference]:
    if left is None or right is None:
        one, recipe = (left, a) if left is not None else (right, b)
        assert one is not None
        yield Difference(recipe.spell(one.path), left, right)
        return
    if left.value == right.value and type(left.value) is type(right.value):
        return
    mine, theirs = _named(a, left), _named(b, right)
    if mine is None or theirs is None:
        yield Difference(a.spell(left.path), left, right)
        return
    other_kind = _kind(left) != _kind(right)
    for name in dict.fromkeys([*mine, *theirs]):
        inner, outer = mine.get(name), theirs.get(name)
        # Of two kinds, the fields that only one of them has are told where somebody wrote them.
        if other_kind and None in (inner, outer) and _default(inner) and _default(outer):
            continue
        yield from _compare(a, b, inner, outer)
    if isinstance(left.value, list) and _order(mine, theirs) != _order(theirs, mine):
        path = a.spell(left.path)
        yield Difference(
            f"{path} (order)",
            Entry(left.path, list(mine), left.origin, {}),
            Entry(right.path, list(theirs), right.origin, {}),
        )


def _named(recipe: Resolved, entry: Entry) -> dict[Any, Entry] | None:
    """What an entry holds, by key or name; None for what is compared as a whole."""
    value = entry.value
    if isinstance(value, dict):
        return {inner.path[-1]: inner for inner in recipe.children(entry)}
    if isinstance(value, list):
        names = [item.get("name") if isinstance(item, dict) else None for item in value]
        if all(names) and len(set(names)) == len(names):
            return dict(zip(names, recipe.children(entry), strict=True))
        if value and all(isinstance(item, dict) for item in value):
            return {str(i): inner for i, inner in enumerate(recipe.children(entry))}
    return None


def _order(names: dict[Any, Entry], others: dict[Any, Entry]) -> list[Any]:
    return [name for name in names if name in others]


def _kind(entry: Entry) -> Any:
    return entry.value.get("kind") if isinstance(entry.value, dict) else None


def _default(entry: Entry | None) -> bool:
    return entry is None or entry.origin == DEFAULT


def _side(entry: Entry | None) -> str:
    if entry is None:
        return "nothing"
    value = entry.value
    if isinstance(value, dict) and len(flow(value)) > 80:
        text = f"{{kind: {value['kind']}, ...}}" if "kind" in value else "{...}"
    else:
        text = flow(value)
    return f"{text} ({entry.origin})"
