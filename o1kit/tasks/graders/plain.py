r"""Mathematics that is typed without LaTeX, as LaTeX: `√5`, `pi/2`, and a union of rays and intervals, `x<-1 or x>1`.

Only the spelling changes. What it does not know it leaves as it is, and nothing is evaluated. Linear in the length.
"""

from __future__ import annotations

import re

_ROOT = re.compile(r"([√∛])\s*(?:\(([^()√∛]*)\)|\{([^{}√∛]*)\}|([0-9]+(?:\.[0-9]+)?|[a-zA-Zπ](?![a-zA-Z])))")
_PI = re.compile(r"(?<![a-zA-Z\\])pi(?![a-zA-Z])")
_OR = re.compile(
    r"\\(?:text|textrm|mathrm|mbox)\s*\{\s*or\s*\}|\\(?:lor|vee)(?![a-zA-Z])|(?<![a-zA-Z])or(?![a-zA-Z])|∨"
)
_SIGN = re.compile(r"<=|>=|[<>≤≥]|\\(?:leqslant|geqslant|leq|geq|le|ge|lt|gt)(?![a-zA-Z])")
_LESS = {"<", "<=", "≤", r"\lt", r"\le", r"\leq", r"\leqslant"}
_OPEN = {"<", ">", r"\lt", r"\gt"}
_NAME = re.compile(r"[a-zA-Z]")


def latex(text: str) -> str:
    """The text with its roots, its pi and its alternatives as LaTeX."""
    text = _PI.sub(r"\\pi ", _ROOT.sub(_root, text))
    return _union(text) or text


def _root(match: re.Match[str]) -> str:
    index = "[3]" if match.group(1) == "∛" else ""
    return rf"\sqrt{index}{{{match.group(2) or match.group(3) or match.group(4) or ''}}}"


def _union(text: str) -> str | None:
    """The intervals that inequalities for one name stand for; None where there are no alternatives, or other ones."""
    found = [_interval(part) for part in _OR.split(text)]
    if len(found) < 2 or None in found or len({one[0] for one in found if one}) > 1:
        return None
    return r"\cup ".join(one[1] for one in found if one)


def _interval(text: str) -> tuple[str, str] | None:
    """The name and the interval of `x < b`, `a > x` or `a < x < b`."""
    sides, signs = [side.strip() for side in _SIGN.split(text)], _SIGN.findall(text)
    less = [sign in _LESS for sign in signs]
    if not all(sides) or not 1 <= len(signs) <= 2 or len(set(less)) > 1:
        return None
    if not less[0]:
        sides, signs = sides[::-1], signs[::-1]
    names = [i for i, side in enumerate(sides) if _NAME.fullmatch(side)]
    if len(names) != 1 or (len(sides) == 3 and names != [1]):
        return None
    at = names[0]
    left = ("(" if signs[0] in _OPEN else "[") + sides[0] if at else r"(-\infty"
    right = sides[-1] + (")" if signs[-1] in _OPEN else "]") if at + 1 < len(sides) else r"\infty)"
    return sides[at], f"{left},{right}"
