"""Prompts as texts with places, such as {problem}, for what is put into them."""

from __future__ import annotations

import re
from collections.abc import Callable

_PLACE = re.compile(r"\{([a-z_]+)\}")


def fill(template: str, **texts: str) -> str:
    """The template with every place taken by its text. One pass: braces inside the texts stay as they are."""
    return _PLACE.sub(lambda place: texts[place[1]], template)


def with_places(*names: str) -> Callable[[str], str]:
    """A check that a template has exactly these places, for a recipe field.

    Raises:
        ValueError: by the check, with the place that is missing or unknown.
    """
    wanted = " and ".join("{" + name + "}" for name in names)

    def check(template: str) -> str:
        found = set(_PLACE.findall(template))
        for name in sorted(found - set(names)):
            raise ValueError(f"there is nothing to put into {{{name}}}. The places of this prompt are {wanted}")
        for name in names:
            if name not in found:
                raise ValueError(f"the prompt has no place for {{{name}}}. Write {wanted} where the texts belong")
        return template

    return check
