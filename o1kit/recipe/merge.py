"""How one layer of a recipe changes what it inherits: maps merge deeply, everything else replaces.

key: value              merges if both are maps of the same `kind`, else replaces
+key: [...]             appends to the inherited list
key: !unset             removes what is inherited
key: !replace {...}     replaces the inherited map
stages: {sft: {...}}    changes the inherited stage of that name
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from o1kit.nearest import nearest
from o1kit.recipe.nodes import REPLACE, UNSET, Node, Path, entry_names
from o1kit.recipe.source import Fault
from o1kit.registry import suggestion

STAGES = "stages"


class Merger:
    """Puts layers on top of one another; what does not fit is reported."""

    def __init__(
        self, report: Callable[[Fault], None], partial: bool = False, removed: dict[Path, str] | None = None
    ) -> None:
        self._removed = {} if removed is None else removed
        self._take, self.partial = report, partial
        """Partial: a file is missing, and with it what may be inherited."""

    def into(self, base: dict[str, Node], over: dict[str, Node], path: Path = ()) -> None:
        """Changes the inherited entries of a map by those of a layer."""
        for key, node in sorted(over.items(), key=lambda entry: entry[0].startswith("+")):  # what is appended: last
            name, here = key.removeprefix("+"), (*path, key.removeprefix("+"))
            if key.startswith("+") and name:
                if name in over and not (here == (STAGES,) and _by_name(over[name])):
                    text = f"both `{name}` and `+{name}` are written here. Keep one: the list, or what to append."
                    self._report(node.key, here, text)
                else:
                    self._append(base, name, node, here)
            elif node.tag == UNSET:
                self._remove(base, name, node, here)
            elif here == (STAGES,) and _by_name(node):
                self._stages(base.get(STAGES), node, here)
            else:
                base[name] = self.over(base.get(name), node, here)

    def over(self, base: Node | None, node: Node, path: Path) -> Node:
        """What a value becomes that a layer writes another on top of."""
        if base is None or not merges(base, node):
            return self.clean(node, path)
        self.into(base.value, node.value, path)
        return Node(base.value, node.place, node.key)

    def clean(self, node: Node, path: Path) -> Node:
        """A value that inherits nothing."""
        if isinstance(node.value, dict):
            entries: dict[str, Node] = {}
            self.into(entries, node.value, path)
            node.value = entries
        elif isinstance(node.value, list):
            for i, item in enumerate(node.value):
                self.entry(item, (*path, i))
        node.tag = ""
        return node

    def entry(self, item: Node, path: Path) -> None:
        """Cleans one entry of a list."""
        if item.tag == UNSET:
            self._report(item.place, path, f"`{UNSET}` removes a key, not an entry of a list. Write the list anew.")
        self.clean(item, path)

    def _report(self, place: str, path: Path, text: str, meant: str | None = None) -> None:
        self._take(Fault(place, path, text, meant))

    def _report_missing(self, place: str, path: Path, text: str, meant: str | None = None) -> None:
        """What is missing here may be in a file that is."""
        if not self.partial:
            self._report(place, path, text, meant)

    def _append(self, base: dict[str, Node], name: str, node: Node, path: Path) -> None:
        found = base.get(name)
        if not isinstance(node.value, list):
            self._report(node.place, path, f"`+{name}` appends a list. Write `+{name}: [...]`.")
        elif found is None:
            near = nearest(name, _lists(base))
            hint = f"Did you mean '+{near}'?" if near is not None else f"Write `{name}:` for a new one."
            text = f"no list is inherited here to append to. {hint}"
            self._report_missing(node.key or node.place, path, text, near)
        elif not isinstance(found.value, list):
            text = f"`+{name}` appends to a list, and at {found.place} there is none. Write `{name}:` to replace it."
            self._report(node.key or node.place, path, text)
        else:
            start = len(found.value)
            for i, item in enumerate(node.value):
                self.entry(item, (*path, start + i))
            found.value = [*found.value, *node.value]

    def _remove(self, base: dict[str, Node], name: str, node: Node, path: Path) -> None:
        if name in base:
            del base[name]
            if not any(isinstance(part, int) for part in path):  # positions in a list may change
                self._removed[path] = node.key or node.place
        else:
            hint = suggestion(name, list(base)) if base else " Remove the line."
            text = f"`{UNSET}`: nothing of this name is inherited.{hint}"
            self._report_missing(node.key or node.place, path, text, nearest(name, base))

    def _stages(self, base: Node | None, over: Node, path: Path) -> None:
        """Changes inherited stages by their names."""
        if base is None or not isinstance(base.value, list):
            text = "a map changes inherited stages by name, and none are inherited. Write a list: `- kind: ...`."
            self._report_missing(over.key or over.place, path, text)
            return
        for name, node in over.value.items():
            names = entry_names(base.value)
            if name not in names:
                known = [n for n in names if n is not None]
                text = f"no stage {name!r} is inherited.{suggestion(name, known)} New ones: `+stages: [...]`."
                self._report_missing(node.key or over.place, (*path, name), text, nearest(name, known))
            elif node.tag == UNSET:
                del base.value[names.index(name)]
            elif not isinstance(node.value, dict):
                text = f"a stage is a map of its options. Write `{name}: {{steps: 100}}`, or `{name}: {UNSET}`."
                self._report(node.place, (*path, name), text)
            else:
                i = names.index(name)
                base.value[i] = self.named(base.value[i], node, (*path, i))

    def named(self, base: Node, node: Node, path: Path) -> Node:
        """An entry of a list that a layer changes: it keeps its name also where its kind changes."""
        name = base.value.get("name") if isinstance(base.value, dict) else None
        made = self.over(base, node, path)
        if name is not None and isinstance(made.value, dict) and "name" not in made.value:
            made.value = {"name": name, **made.value}
        return made


def _by_name(node: Node) -> bool:
    """True for a map that changes inherited entries by their names."""
    return isinstance(node.value, dict) and not node.tag


def merges(base: Node, node: Node) -> bool:
    """True if both are maps and of the same kind, as far as they say: keys of another kind would be out of place."""
    if not isinstance(base.value, dict) or not isinstance(node.value, dict) or node.tag == REPLACE:
        return False
    old, new = base.value.get("kind"), node.value.get("kind")
    return old is None or new is None or _scalar(old) == _scalar(new)


def _scalar(node: Node) -> Any:
    return node.value if not isinstance(node.value, dict | list) else None


def _lists(base: dict[str, Node]) -> list[str]:
    return [key for key, node in base.items() if isinstance(node.value, list)]
