r"""Where a chain of thought states its final answer: after a phrase, in \boxed{}, on its last line, ...

Linear in the length of the text, whatever it holds: the text was written by a model.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Literal, assert_never

AnswerRule = Literal["stated", "final", "last_line", "last_number", "code", "whole"]
"""How the final answer is found in a chain."""
MAX_NUMBER_CHARS = 2000
"""So much of a chain's end is searched for its last number."""
_STATED = re.compile(r"(?:[Tt]he (?:final )?answer is:?|####)\s*")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_FENCE = re.compile(r"^[ \t]*```")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\$?[0-9](?:[0-9,]*[0-9])?(?:\.[0-9]+)?(?:/[0-9]+)?%?")


def find_answer(text: str, rule: AnswerRule = "stated") -> str | None:
    r"""The final answer that a text states, without outer blanks; None if it states none.

    - `stated`: what follows the last "the answer is", "the final answer is" or `####`, without a final full stop.
    - `final`: what the last `\boxed{}` holds, or what is stated, whichever begins later in the text.
    - `last_line`: the last line that is not blank.
    - `last_number`: the last number in the last 2,000 characters, as GSM8K is often graded.
    - `code`: the last block between lines that begin with ```, or the whole text if there is none.
    - `whole`: all of it.
    """
    match rule:
        case "stated":
            found = _stated(text)
            return found[1] if found is not None else None
        case "final":
            return _final(text)
        case "last_line":
            return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), None)
        case "last_number":
            numbers = _NUMBER.findall(text[-MAX_NUMBER_CHARS:])
            return numbers[-1] if numbers else None
        case "code":
            return _code(text)
        case "whole":
            return text.strip() or None
        case _:
            assert_never(rule)


def last_boxed(text: str) -> tuple[int, str] | None:
    r"""Where the last `\boxed{...}` (or `\fbox`) that is closed begins, and what it holds, without outer blanks.

    Of boxes in one another it is the inner one. Escaped braces belong to the text.
    """
    opened: list[tuple[int, int] | None] = []
    best: tuple[int, str] | None = None
    for match in _BOX.finditer(text):
        piece = match.group()
        if piece.endswith("{") and piece != r"\{":
            opened.append((match.start(), match.end()) if piece != "{" else None)
        elif piece == "}" and opened:
            box = opened.pop()
            if box is not None and (best is None or box[0] > best[0]):
                best = box[0], text[box[1] : match.start()].strip()
    return best


def _stated(text: str) -> tuple[int, str | None] | None:
    """Where the last statement of an answer begins, and the answer; None without a statement."""
    found = deque(_STATED.finditer(text), maxlen=1)
    if not found:
        return None
    last = found[0]
    return last.start(), text[last.end() :].strip().rstrip(".") or None


def _final(text: str) -> str | None:
    boxed, stated = last_boxed(text), _stated(text)
    if boxed is not None and (stated is None or boxed[0] >= stated[0]):
        return boxed[1] or None
    return stated[1] if stated is not None else None


def _code(text: str) -> str | None:
    blocks: list[list[str]] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if _FENCE.match(line):
            inside = not inside
            if inside:
                blocks.append([])
        elif inside:
            blocks[-1].append(line)
    return ("".join(blocks[-1]) if blocks else text).rstrip() or None
