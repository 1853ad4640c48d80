"""What else is wrong with a recipe that is not valid: all of it is told at once, and nothing that only follows.

Three sorts of faults are known of a recipe: of putting it together (files, options, references), of its sections, and
of the rules between them. Each is looked for in spite of the others, in what is left of the recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from o1kit.kinds import marker, members
from o1kit.recipe.explain import annotation_at, at, explain, written_path
from o1kit.recipe.nodes import steps, walk
from o1kit.recipe.references import check, references
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import OPTION, Fault, Path, Source

UNKNOWN_KEY, REQUIRED = "unknown key", "is required"
STAGES, TASKS, GRADING = "stages", "tasks", "grading"
IN_MISSING_FILE = ("missing", "union_tag_not_found", "value_error")
"""Sorts of Pydantic's errors that what is written in a file that is missing may put right."""
STANDS_FOR: dict[str, Any] = {"o1kit": 1, "name": "name", "model": {"kind": "hf", "source": "model"}}
"""What is put in place of a part that is wrong and has no default: no rule has anything against it."""
SPLIT: dict[str, Any] = {"num_problems": 10**9, "sources": [{"kind": "jsonl", "path": "problems.jsonl"}]}
SERVED: dict[str, Any] = {"kind": "http", "endpoints": ["http://localhost:1/v1"]}


def tell_rest(source: Source) -> None:
    """Adds to the faults of putting a recipe together those of its sections, and of the rules between them."""
    composed = [(fault, _meant(fault, source.data)) for fault in source.faults]
    scratch = replace(source, faults=[])
    try:
        Recipe.model_validate(source.actual(hidden=True))
    except ValidationError as error:
        explain(error, Recipe, scratch, IN_MISSING_FILE if source.partial else ())
    unfollowed = [path for path, node in walk(source.root) if node.unfollowed] if source.root is not None else []
    source.faults += [fault for fault in scratch.faults if not _follows(fault, composed, unfollowed, source)]
    if not source.partial:
        _tell_rules(source, [*composed, *((fault, fault.path) for fault in scratch.faults)])


def _meant(fault: Fault, data: Any) -> Path:
    """The recipe path that a fault is about, with positions for names of stages; of an option, the one it would set."""
    parts: Sequence[str | int] = fault.path
    if fault.place.startswith(OPTION):
        name = fault.place.removeprefix(OPTION).partition("=")[0]
        set_by_it = steps(name.removeprefix("+"))[0]
        parts = set_by_it if len(set_by_it) > len(parts) else parts
    path = Path()
    for part in parts:
        here, word = at(data, path, None), part.removeprefix("+") if isinstance(part, str) else part
        if isinstance(here, list) and isinstance(word, str):
            names = [_name(item) for item in here]
            word = names.index(word) if word in names else int(word) if word.isdecimal() and len(word) < 10 else word
        path = (*path, word)
    return path


def _name(stage: Any) -> str | None:
    """A stage's name; None where there is none, or something that cannot be one."""
    name = stage.get("name") if isinstance(stage, dict) else None
    return name if isinstance(name, str) else None


def _follows(fault: Fault, composed: Sequence[tuple[Fault, Path]], unfollowed: Sequence[Path], source: Source) -> bool:
    """True for a fault of the schema that is there only because of another one, or may be."""
    if any(_within(fault.path, path) and len(path) >= len(fault.path) for path in unfollowed):
        return True
    if source.partial and _may_be_right(fault, source):
        return True
    place = source.values.get(fault.path)
    return any(place == other.place or _within(fault.path, path) for other, path in composed)


def _within(path: Path, other: Path) -> bool:
    length = min(len(path), len(other))
    return length > 0 and path[:length] == other[:length]


def _may_be_right(fault: Fault, source: Source) -> bool:
    """True for what may be valid together with a file that is missing: it may say of which kind a section is."""
    if fault.place.startswith(OPTION):  # it may set one value of a section that is not there
        return len(fault.path) > 1 or isinstance(at(source.data, fault.path, None), dict)
    for i in range(1, len(fault.path)):
        annotation, written = annotation_at(Recipe, source.data, fault.path[:i])
        kinds = len(members(annotation)) > 1 or marker(annotation) is not None
        if kinds and isinstance(written, dict) and "kind" not in written:
            return True
    return False


def _tell_rules(source: Source, known: Sequence[tuple[Fault, Path]]) -> None:
    """Adds the faults of rules that the recipe would have, were the ones that are known put right.

    Keys with a slip are taken for what they were meant to be, other parts are left to their defaults. Nothing is told
    about stages in which something is wrong, nor about those that refer to them: the user may never see it.
    """
    mended = _Mended(deepcopy(source.actual(hidden=True)))
    if not all(mended.put_right(fault, path) for fault, path in known):
        return
    data, broken = mended.data, mended.broken
    try:
        Recipe.model_validate(data)
    except ValidationError as error:
        places = [written_path(item["loc"], data) for item in error.errors(include_url=False)]
        if not all(len(place) > 1 and place[0] == STAGES for place in places):
            return
        broken |= {place[1] for place in places}
    kept = [i for i in range(len(data[STAGES])) if i not in broken]
    doubtful = broken | mended.doubtful
    names = [_name(stage) for stage in data[STAGES]]
    doubted = {name for i, name in enumerate(names) if i in doubtful}
    data[STAGES] = [data[STAGES][i] for i in kept]
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError:
        return
    found = Source(source.name)
    check(recipe, found)
    for fault in found.faults:
        path, named = fault.path, set[str | None]()
        if len(path) > 1 and path[0] == STAGES and isinstance(path[1], int):
            named = {reference.stage for reference in references(recipe.stages[path[1]])}
            named = {name if name in names else None for name in named}  # None: what a stage without a name may have
            path = (STAGES, kept[path[1]], *path[2:])
        if not (path[:2] in {(STAGES, i) for i in doubtful} or doubted & named or mended.asks_replaced(path)):
            source.fault(path, fault.message, suggestion=fault.suggestion)


class _Mended:
    """The data of a recipe without what is wrong with it."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.broken: set[str | int] = set()
        """Positions of the stages in which something is wrong that has no default."""
        self.doubtful: set[str | int] = set()
        """Positions of those that are kept without what is wrong in them, so that others may name them."""
        self._replaced: set[str | int] = set()

    def put_right(self, fault: Fault, path: Path) -> bool:
        """Takes a fault out of the data; False if too little is left of the recipe."""
        section = at(self.data, path[:-1], None) if path else None
        if isinstance(section, dict) and path[-1] in section and fault.message.startswith(UNKNOWN_KEY):
            value = section.pop(path[-1])
            if fault.suggestion is not None and "." not in fault.suggestion:
                section.setdefault(fault.suggestion, value)
        elif not path or (fault.message.startswith(REQUIRED) and at(self.data, path, None) is not None):
            return True
        elif path[0] == STAGES:
            return len(path) > 1 and self._without(path, fault.suggestion)
        elif path[0] == TASKS:
            return len(path) > 1 and self._other_split(path[1])
        else:
            self._other_section(path[0])
        return True

    def asks_replaced(self, path: Path) -> bool:
        """True for a rule that asks for what has been replaced."""
        return path[0] in self._replaced or (path[0] == TASKS and len(path) > 1 and GRADING in self._replaced)

    def _without(self, path: Path, suggestion: str | None) -> bool:
        """Takes a value out of a stage; a stage of a name that none has is the one that was probably meant."""
        stage, section = path[1], at(self.data, path[:-1], None)
        if len(path) > 2 and isinstance(section, dict):
            section.pop(path[-1], None)
            self.doubtful.add(stage)
        else:
            self.broken.add(stage)
        names = [_name(item) for item in self.data[STAGES]] if isinstance(self.data.get(STAGES), list) else []
        if isinstance(stage, str) and suggestion in names:
            self.broken.add(names.index(suggestion))
        return True

    def _other_split(self, name: str | int) -> bool:
        splits = self.data.get(TASKS)
        if not isinstance(splits, dict):
            return False
        splits[name] = deepcopy(SPLIT)
        return True

    def _other_section(self, name: str | int) -> None:
        """Puts the default in place of a part of a recipe, or what stands for it."""
        self._replaced.add(name)
        written = self.data.pop(name, None)
        if name in STANDS_FOR:
            self.data[name] = deepcopy(STANDS_FOR[str(name)])
        elif name == "engine" and isinstance(written, dict) and written.get("kind") == SERVED["kind"]:
            self.data[name] = deepcopy(SERVED)
