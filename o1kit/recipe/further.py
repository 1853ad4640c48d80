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
from o1kit.recipe.explain import annotation_at, at, explain
from o1kit.recipe.mended import STAGES, Mended, Rules, stage_name
from o1kit.recipe.nodes import steps, walk
from o1kit.recipe.references import check, check_names
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import OPTION, Fault, Path, Source

IN_MISSING_FILE = ("missing", "union_tag_not_found", "value_error")
"""Sorts of Pydantic's errors that what is written in a file that is missing may put right."""


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
    if not source.partial or source.based:
        wrong = [*scratch.faults, *(Fault("", path, "") for path in unfollowed)]
        _tell_rules(source, [*composed, *((fault, fault.path) for fault in wrong)])


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
            names = [stage_name(item) for item in here]
            word = names.index(word) if word in names else int(word) if word.isdecimal() and len(word) < 10 else word
        path = (*path, word)
    return path


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

    Keys with a slip are taken for what they were meant to be, other values are left to their defaults. Nothing is told
    that reads what was put right so: the user may never see it.
    """
    mended = Mended(deepcopy(source.actual(hidden=True)))
    for fault, path in known:
        mended.put_right(fault, path)
    made = mended.recipe()
    if made is None:
        return
    recipe, kept = made
    found, names = Source(source.name), Source(source.name)
    check(recipe, found)
    check_names(recipe, names)
    rules = Rules(recipe, kept, mended)
    for fault in found.faults:
        path = fault.path
        only_names = fault in names.faults
        if source.partial and not _stands(fault, only_names):
            continue
        if rules.hold(path, only_names=only_names):
            path = (STAGES, kept[int(path[1])], *path[2:]) if rules.of_stage(path) else path
            source.fault(path, fault.message, suggestion=fault.suggestion)


def _stands(fault: Fault, only_names: bool) -> bool:
    """True for a rule's fault that stands whatever a missing overlay adds: no stage, or generator, of such a name."""
    named = only_names and not any(part in ("split", "splits") for part in fault.path) and len(fault.path) > 2
    return named or fault.path[-1:] == ("generator",)
