"""What else is wrong with a recipe that is not valid: the rules between its parts, wherever the parts are."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from o1kit.recipe.explain import at, explain, written_path
from o1kit.recipe.layers import EXTENDS
from o1kit.recipe.references import check, references
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import OPTION, Fault, Source

UNKNOWN_KEY = "unknown key"


def check_rest(source: Source) -> None:
    """Adds the faults that the recipe would have, were the ones that are known put right.

    Keys with a slip are taken for what they were meant to be. Stages in which something else is wrong are left out, and
    with them the rules about all stages that refer to them: nothing is told that the user would not see anyway.
    """
    data, known = deepcopy(source.actual(hidden=True)), list(source.faults)
    broken = _corrected(data, known)
    if broken is None:
        return
    try:
        Recipe.model_validate(data)
    except ValidationError as error:
        places = [written_path(item["loc"], data) for item in error.errors(include_url=False)]
        if not all(len(place) > 1 and place[0] == "stages" for place in places):
            return
        broken |= {place[1] for place in places}
    kept = [i for i in range(len(data["stages"])) if i not in broken]
    missing = {
        str(stage.get("name")) for i, stage in enumerate(data["stages"]) if i in broken and hasattr(stage, "get")
    }
    data["stages"] = [data["stages"][i] for i in kept]
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError:
        return
    found = Source(source.name)
    check(recipe, found)
    for fault in found.faults:
        _add(fault, recipe, kept, missing, source)


def besides(source: Source) -> list[Fault]:
    """What the schema says of a recipe that could not be composed, as far as it has nothing to do with why.

    Nothing where a file is missing or is no YAML: most of the recipe may be in there. Left out is what references and
    the command line say, which has not been read as the schema needs it.
    """
    elsewhere = any(f.path[:1] in ((), (EXTENDS,)) or f.suggestion == EXTENDS for f in source.faults)
    if elsewhere or not isinstance(source.data, dict):
        return []
    scratch = replace(source, faults=[])
    try:
        Recipe.model_validate(source.actual(hidden=True))
    except ValidationError as error:
        explain(error, Recipe, scratch)
    return [fault for fault in scratch.faults if not _known(fault, source)]


def _known(fault: Fault, source: Source) -> bool:
    if fault.place.startswith(OPTION) or "${" in str(at(source.data, fault.path, None)):
        return True
    shared = ((min(len(fault.path), len(other.path)), other.path) for other in source.faults)
    return any(fault.path[:length] == path[:length] for length, path in shared)


def _corrected(data: Any, known: list[Fault]) -> set[Any] | None:
    """Puts keys right; the positions of the stages in which something else is wrong, None if it is not in stages."""
    broken: set[Any] = set()
    for fault in known:
        section = at(data, fault.path[:-1], None) if fault.path else None
        if isinstance(section, dict) and fault.path[-1] in section and fault.message.startswith(UNKNOWN_KEY):
            value = section.pop(fault.path[-1])
            if fault.suggestion is not None and "." not in fault.suggestion:
                section.setdefault(fault.suggestion, value)
        elif len(fault.path) > 1 and fault.path[0] == "stages":
            if not (fault.message.startswith("is required") and at(data, fault.path, None) is not None):
                broken.add(fault.path[1])
        else:
            return None
    return broken


def _add(fault: Fault, recipe: Recipe, kept: list[int], missing: set[str], source: Source) -> None:
    """Adds a fault, its place that in the recipe as it is written."""
    path = fault.path
    if len(path) > 1 and path[0] == "stages" and isinstance(path[1], int):
        if missing & {reference.stage for reference in references(recipe.stages[path[1]])}:
            return
        path = ("stages", kept[path[1]], *path[2:])
    source.fault(path, fault.message, suggestion=fault.suggestion)
