"""What Pydantic finds wrong with a value, in words that say what to write instead."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from o1kit.config import MOST

LIMITS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
"""Errors of numbers out of their range, and the name of the bound."""
SECTIONS = ("model_type", "model_attributes_type", "dict_type", "dict_attributes_type")
"""Errors of what is no section."""
LENGTHS = {"too_short": ("min_length", "at least"), "too_long": ("max_length", "at most")}
"""Errors of the number of entries, the name of the bound, and its words."""
YES, NO = ("yes", "on", "y", "t", "True", "TRUE"), ("no", "off", "n", "f", "False", "FALSE")
SHOWN = 60


class Told(NamedTuple):
    """What is wrong with a value and what to write; the nearest valid value, where there is one."""

    message: str
    suggestion: str | None = None


def told(error: ErrorDetails, annotation: Any, doc: str) -> Told:
    """What is wrong with a value.

    Args:
        error: as Pydantic reports it.
        annotation: the type that is declared there.
        doc: the first line of the documentation of the field.
    """
    kind, value = error["type"], error["input"]
    remedy, suggestion = _remedy(kind, value, error.get("ctx", {}), annotation)
    what = f"{_wrong(error)}, got {_amount(error) or shown(value)}."
    meaning = f" It is: {doc.rstrip('.')}." if doc and (kind in LIMITS or not remedy) else ""
    return Told(f"{what}{f' {remedy}' if remedy else ''}{meaning}", suggestion)


def _wrong(error: ErrorDetails) -> str:
    """Pydantic's own words, but where they are about its insides."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in SECTIONS:
        return "input should be a section"
    if kind in LENGTHS:
        bound, words = LENGTHS[kind]
        number = context.get(bound)
        noun = "section" if context.get("field_type") == "Dictionary" else "list"
        return f"{noun} should have {words} {number} {'item' if number == 1 else 'items'}"
    return _lower(error["msg"])


def _amount(error: ErrorDetails) -> str:
    """How many entries there are, where that is what is wrong."""
    number = error.get("ctx", {}).get("actual_length") if error["type"] in LENGTHS else None
    return "" if number is None else "none" if number == 0 else str(number)


def _remedy(kind: str, value: Any, context: dict[str, Any], annotation: Any) -> tuple[str, str | None]:
    """What to write instead, in words and as a value."""
    if kind in LIMITS:
        return _within(LIMITS[kind], context, annotation)
    if kind in ("int_type", "int_from_float", "float_type", "int_parsing", "float_parsing"):
        return _number(value, whole=kind.startswith("int"))
    if kind == "bool_type":
        return _truth(value)
    if kind == "string_type":
        return _text(value)
    if kind == "list_type":
        if isinstance(value, (str, int, float, bool)):
            return f"Put it into brackets: [{_plain(value)}].", f"[{_plain(value)}]"
        return "Write a list: [first, second].", None
    if kind in SECTIONS:
        return "Write a section, with keys and values: {key: value}.", None
    if kind == "finite_number":
        return "Write a finite number.", None
    return "", None


def _within(bound: str, context: dict[str, Any], annotation: Any) -> tuple[str, str | None]:
    """The range that a number must be in, and its nearest end where that belongs to it."""
    found = limits(annotation)
    found.setdefault(bound, context.get(bound))
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    if bound != "le" and found.get("le") == MOST:
        del found["le"]  # a bound on slips of the hand is told to who meets it
    ends = [f"{text} {_short(found[name])}" for name, text in words.items() if name in found]
    return f"Use {' and '.join(ends)}.", _short(found[bound]) if bound in ("ge", "le") else None


def _number(value: Any, whole: bool) -> tuple[str, str | None]:
    noun = "a whole number" if whole else "a number"
    if isinstance(value, bool):
        return f"Write {noun}.", None
    if isinstance(value, float) and math.isfinite(value):  # only where it must be whole
        near = str(round(value)) if abs(value) < 1e15 else None
        return f"Write {noun}{f', such as {near}' if near else ''}.", near
    if isinstance(value, str):
        from o1kit.recipe.source import scalar

        read = scalar(value.strip()) if len(value) <= SHOWN else None
        if not isinstance(read, bool) and isinstance(read, int if whole else int | float):
            return f"Write the number without quotes: {value.strip()}.", value.strip()
    return f"Write {noun}.", None


def _truth(value: Any) -> tuple[str, str | None]:
    if isinstance(value, str) and value.strip().lower() in (*(w.lower() for w in YES), "true"):
        return "Write true.", "true"
    if isinstance(value, str) and value.strip().lower() in (*(w.lower() for w in NO), "false"):
        return "Write false.", "false"
    if value in (0, 1):
        word = "true" if value else "false"
        return f"Write {word}.", word
    return "Write true or false.", None


def _text(value: Any) -> tuple[str, str | None]:
    if value is None:
        return "Write a text; an empty one is ''.", None
    if isinstance(value, (bool, int, float)):
        plain = f"'{_plain(value)}'"
        return f"Put it into quotes: {plain}.", plain
    return "Write a text.", None


def limits(annotation: Any) -> dict[str, Any]:
    """The bounds on a number: `ge`, `gt`, `le`, `lt`."""
    found: dict[str, Any] = {}
    for item in _metadata(annotation):
        for name in ("ge", "gt", "le", "lt"):
            value = getattr(item, name, None)
            if isinstance(value, (int, float)):
                found[name] = value
    return found


def _metadata(annotation: Any) -> Iterator[Any]:
    """All that `Annotated` adds in a type, and what `Field` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return
    for item in getattr(annotation, "__metadata__", ()):
        yield item
        yield from getattr(item, "metadata", ())
    for inner in get_args(annotation):
        yield from _metadata(inner)


def shown(value: Any) -> str:
    """A value as it can be written, cut where it is long."""
    if isinstance(value, bool) or value is None:
        return _plain(value)
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _short(number: float) -> str:
    if number < 2**31 and number == int(number):
        return str(int(number))
    return f"{number:g}" if number < 2**31 else "2^63" if number == 2**63 else f"{number:.3g}"


def _plain(value: Any) -> str:
    return {True: "true", False: "false", None: "null"}[value] if isinstance(value, bool | None) else str(value)


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
