"""`guard`: scorers of reasoning_gym that evaluate answers are given plain literals and plain expressions only.

Some hand an answer to Python's `eval`, others to sympy's `parse_expr`, which evaluates it too, with all of Python's
functions at hand. Here both are replaced in the modules of those scorers: what is no list of values, or no expression
of numbers, symbols and elementary functions, raises an error, which a scorer takes for an answer that it cannot read.

`guard_numbers`: sympy itself evaluates whatever text it makes a number of, and with math-verify those are the digits of
answers. Here they are read without.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from keyword import iskeyword
from types import ModuleType
from typing import Any

LITERALS = ("algorithmic.binary_matrix", "algorithmic.spiral_matrix", "algorithmic.string_insertion", "games.n_queens")
"""Modules of reasoning_gym whose scorers call `eval`."""
EXPRESSIONS = (
    "algebra.intermediate_integration",
    "algebra.polynomial_multiplication",
    "algebra.simple_integration",
    "games.countdown",
    "games.puzzle24",
)
"""Modules whose scorers call `parse_expr`."""
FUNCTIONS = frozenset(
    """
    Abs Add Chi Ci Ei Integral Max Min Mul Pow Rational Shi Si abs acos acosh acot acoth acsc acsch asec asech asin
    asinh atan atan2 atanh beta binomial cbrt ceiling cos cosh cot coth csc csch dirichlet_eta erf erfc erfi exp expint
    factorial floor fresnelc fresnels gamma im li ln log max min oo pi pow re root sec sech sign sin sinc sinh sqrt tan
    tanh zeta
    """.split()  # noqa: SIM905
)
"""What an expression may call by name; single letters are symbols and constants, or harmless without texts."""
_WHOLE = re.compile(r"0+|[1-9][0-9]*")
_DECIMAL = re.compile(r"(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+")
_MAX_DIGITS = 4000
"""Longer ones Python refuses to read."""
_TOKEN = re.compile(r"\s+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[A-Za-z][A-Za-z0-9_]*|[-+*/(),^!%]")


def is_plain(text: str) -> bool:
    """True for numbers, operators, elementary functions and symbols; nothing else has a meaning in what is parsed."""
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or (token[0][0].isalpha() and not _harmless(token[0])):
            return False
        at = token.end()
    return True


@cache
def guard() -> None:
    """Replaces what evaluates in reasoning_gym's modules, once a process; the package must be imported."""
    for name in LITERALS:
        module = sys.modules.get(f"reasoning_gym.{name}")
        if module is not None:
            module.eval = ast.literal_eval  # type: ignore[attr-defined]
    sympy = import_module("sympy")
    cautious = _cautious(sympy.parse_expr)
    copy = ModuleType("sympy")
    vars(copy).update(vars(sympy), parse_expr=cautious)
    for name in EXPRESSIONS:
        module = sys.modules.get(f"reasoning_gym.{name}")
        for variable, value in list(vars(module).items()) if module is not None else []:
            if value is sympy or value is sympy.parse_expr:
                setattr(module, variable, copy if value is sympy else cautious)


def _cautious(parse: Callable[..., Any]) -> Callable[..., Any]:
    def parse_expr(text: str, *args: Any, **kwargs: Any) -> Any:
        if not is_plain(text):
            raise ValueError("not a plain expression")
        return parse(text, *args, **kwargs)

    return parse_expr


@cache
def _known() -> frozenset[str]:
    return frozenset({*vars(import_module("sympy")), *vars(builtins)})


def _harmless(name: str) -> bool:
    """True for a function of the list, a single letter, and what means nothing yet and so becomes a symbol."""
    return len(name) == 1 or name in FUNCTIONS or not (name in _known() or iskeyword(name) or "__" in name)


@cache
def guard_numbers() -> None:
    """Replaces how sympy reads texts in this process: numbers as what they are, and besides only plain expressions."""
    sympy, parser = import_module("sympy"), import_module("sympy.parsing.sympy_parser")
    parse, usual = parser.parse_expr, parser.standard_transformations

    def parse_expr(text: str, local_dict: Any = None, transformations: Any = usual, *args: Any, **kwargs: Any) -> Any:
        if len(text) <= _MAX_DIGITS and _WHOLE.fullmatch(text):
            return sympy.Integer(int(text))
        if len(text) <= _MAX_DIGITS and _DECIMAL.fullmatch(text) and parser.rationalize not in transformations:
            return sympy.Float(text)
        if not is_plain(text):
            raise SyntaxError("not a plain expression")
        return parse(text, local_dict, transformations, *args, **kwargs)

    parser.parse_expr = parse_expr  # type: ignore[attr-defined]
