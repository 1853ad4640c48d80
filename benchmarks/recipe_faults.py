"""Every slip in every key, every number out of range, every wrong type: `python -m benchmarks.recipe_faults`.

Walks the whole schema of recipes. Each section stands in a small valid recipe, with one entry a line, so that the line
and column of everything put there are known. Prints how many are rejected, at the right place, with the right remedy.
Targets: 100 % rejected with line and column; the right key suggested first for at least 99 % of the slips.
Exit code 1 if one is missed.
`--sample N` takes N slips of each sort for each key instead of all.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from string import ascii_lowercase
from typing import Any

from benchmarks.schema_walk import COLUMN, Section, declared, kinds_of_values, minimal, numbers, walk
from benchmarks.targets import Target, told
from o1kit.errors import RecipeError
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.source import Fault, parse

LETTERS = f"{ascii_lowercase}_"
BATCH = 150
"""Slips in one recipe; fewer than are explained at once."""
SCALARS: dict[str, Any] = {"text": "some words", "whole": 3, "number": 1.5, "truth": True, "none": None}
QUOTED = ("1", "0.5", "true")
FEW = 10
PLACED, SUGGESTED = 100.0, 99.0
"""Targets, in %."""


@dataclass
class Tally:
    """How many were tried, and what is wrong with the answers."""

    tried: int = 0
    accepted: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    misled: list[str] = field(default_factory=list)
    """Slips for which another key is suggested."""

    def row(self, name: str) -> str:
        """A line of the table."""
        placed = self.tried - len(self.accepted) - len(self.misplaced)
        rejected, right = self.tried - len(self.accepted), self.tried - len(self.misled)
        return f"{name:<34}{self.tried:>9}{share(rejected, self.tried):>12}{share(placed, self.tried):>12}" + (
            f"{share(right, self.tried):>12}" if name.startswith("keys") else ""
        )


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.3f} %" if whole else "-"


def slips(key: str) -> Iterator[list[str]]:
    """All single-character edits of a key: deletions, insertions, substitutions, swaps of neighbours."""
    yield [key[:i] + key[i + 1 :] for i in range(len(key))]
    yield [key[:i] + letter + key[i:] for i in range(len(key) + 1) for letter in LETTERS]
    yield [key[:i] + letter + key[i + 1 :] for i in range(len(key)) for letter in LETTERS if letter != key[i]]
    yield [key[:i] + key[i + 1] + key[i] + key[i + 2 :] for i in range(len(key) - 1)]


def wrong_keys(section: Section, key: str, sample: int | None, seed: int = 0) -> list[str]:
    """The slips of a key that are no keys of the section themselves, each once."""
    draw = random.Random(f"{seed} {section.name} {key}")
    found: dict[str, None] = {}
    for sort in slips(key):
        kept = sorted({word for word in sort if word and word not in section.model.model_fields})
        found |= dict.fromkeys(kept if sample is None else draw.sample(kept, min(sample, len(kept))))
    return list(found)


def faults(text: str) -> list[Fault]:
    """All that is wrong with a recipe."""
    try:
        recipe_from(parse(text, "r.yaml"))
    except RecipeError as error:
        return list(error.faults)
    return []


def check_keys(section: Section, sample: int | None, tally: Tally) -> None:
    """Puts slips of the section's keys into it, many at a time, and looks at the fault of each."""
    wanted = [(word, key) for key in section.model.model_fields for word in wrong_keys(section, key, sample)]
    for batch in batched(wanted, BATCH):
        words, keys = list(dict.fromkeys(word for word, _ in batch)), {key for _, key in batch}
        left_out = keys if len(keys) == 1 else set()  # a slip stands in place of the key
        entries = {k: v for k, v in minimal(section.model).items() if k not in left_out or k == "kind"}
        lines = [*entries, *words]
        found = {fault.path: fault for fault in faults(section.text(entries | dict.fromkeys(words, 1)))}
        for word, key in batch:
            tally.tried += 1
            fault = found.get((*section.path, word))
            name = f"{section.name}.{key} as {word!r}"
            if fault is None:
                tally.accepted.append(name)
            elif (fault.line, fault.column) != (lines.index(word) + 2, COLUMN):
                tally.misplaced.append(f"{name}: {fault.place}")
            elif fault.suggestion != key:
                tally.misled.append(f"{name}: {fault.suggestion}")


def check_values(section: Section, values: dict[str, Any], tally: Tally) -> None:
    """Writes wrong values of some fields of a section, all at once, and looks for a fault at each."""
    base = {key: value for key, value in minimal(section.model).items() if key not in values}
    lines = list(base | values)
    found: dict[Any, Fault] = {}
    for fault in faults(section.text(base | values)):
        found.setdefault(fault.path[: len(section.path) + 1], fault)
    for key, value in values.items():
        tally.tried += 1
        fault = found.get((*section.path, key))
        name = f"{section.name}.{key}: {value!r}"
        if fault is None:
            tally.accepted.append(name)
        elif (fault.line, fault.column) != (lines.index(key) + 2, COLUMN + len(key) + 2):
            tally.misplaced.append(f"{name}: {fault.place}")


def typed(section: Section) -> Iterator[tuple[str, Any]]:
    """The fields of a section with their types, bounds and all."""
    for key, info in section.model.model_fields.items():
        yield key, declared(info)


def beyond(kind: type, bounds: dict[str, float]) -> Iterator[tuple[float, float | None]]:
    """For each bound the nearest number that is wrong, and the nearest that is right."""
    for name, end in bounds.items():
        low = name in ("ge", "gt")
        if kind is int:
            outside, inside = (end - 1, end) if low else (end + 1, end)
        else:
            outside, inside = math.nextafter(end, -math.inf if low else math.inf), float(end)
        if name in ("gt", "lt"):
            outside, inside = (
                end,
                (end + (1 if low else -1)) if kind is int else math.nextafter(end, math.inf if low else 0),
            )
        yield outside, inside


def check_bounds(section: Section, wrong: Tally, right: Tally) -> None:
    """Each numeric field just outside of each of its bounds, and exactly within it."""
    outside: list[dict[str, Any]] = [{}, {}]
    within: list[dict[str, Any]] = [{}, {}]
    for key, annotation in typed(section):
        for kind, bounds in numbers(annotation):
            for i, (bad, good) in enumerate(beyond(kind, bounds)):
                outside[i][key], within[i][key] = bad, good
    for values in outside:
        if values:
            check_values(section, values, wrong)
    for values in within:
        # Rules between fields may still refuse it, in other words.
        told = faults(section.text(minimal(section.model) | values))
        found = {fault.path for fault in told if fault.message.startswith("input should be")}
        for key in values:
            right.tried += 1
            if (*section.path, key) in found:
                right.accepted.append(f"{section.name}.{key}: {values[key]!r} is refused")


def check_types(section: Section, tally: Tally) -> None:
    """Each field with each scalar that it does not take: words, numbers, truth values, null, and quoted ones."""
    fields = {key: kinds_of_values(annotation) for key, annotation in typed(section)}
    trials = list(SCALARS.items()) + [("text", value) for value in QUOTED]
    for kind, value in trials:
        wrong = {key: value for key, kinds in fields.items() if kind not in kinds and key != "kind"}
        if wrong:
            check_values(section, wrong, tally)
        if "kind" in fields:
            check_values(section, {"kind": value}, tally)


def batched(items: list[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def measure(sections: Iterable[Section], sample: int | None) -> dict[str, Tally]:
    """All tallies over some sections."""
    found = {name: Tally() for name in ("keys with a slip", "numbers out of range", "numbers at the bound", "types")}
    keys, wrong, right, types = found.values()
    for section in sections:
        check_keys(section, sample, keys)
        check_bounds(section, wrong, right)
        check_types(section, types)
    return found


def targets(found: dict[str, Tally]) -> list[Target]:
    """Of each tally the share that is refused where it is wrong; of keys with a slip the right suggestions too."""
    made = []
    for name, tally in found.items():
        right = tally.tried - len(tally.accepted) - len(tally.misplaced)
        made.append(Target(f"{name}, right:", _percent(right, tally.tried), PLACED, "%", at_least=True))
        if name.startswith("keys"):
            suggested = _percent(tally.tried - len(tally.misled), tally.tried)
            made.append(Target(f"{name}, suggested:", suggested, SUGGESTED, "%", at_least=True))
    return made


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=None, metavar="N", help="slips of each sort for each key")
    sample = parser.parse_args().sample
    sections = walk()
    print(f"{len(sections)} sections, {sum(len(s.model.model_fields) for s in sections)} fields")
    print(f"{'':<34}{'tried':>9}{'rejected':>12}{'placed':>12}{'suggested':>12}")
    found = measure(sections, sample)
    for name, tally in found.items():
        print(tally.row(name))
    for name, tally in found.items():
        for what in ("accepted", "misplaced", "misled"):
            wrong = getattr(tally, what)
            if wrong:
                print(f"{name}, {what}: {len(wrong)}", *wrong[:FEW], sep="\n    ")
    sys.exit(told(targets(found)))


if __name__ == "__main__":
    main()
