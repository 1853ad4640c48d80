"""Reaching a number from given ones, one operation a step, with what is left to use behind each."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from random import Random
from typing import NamedTuple, cast

from o1kit.tasks.teachers.chain import ANSWER, PHRASES, Mistake, write_chain
from o1kit.types import GroundTruth

HIT, MISS = " hit", " miss"


class Operation(NamedTuple):
    """`left sign right`; an operand is a number, or the text of an operation before."""

    left: str
    sign: str
    right: str

    @property
    def text(self) -> str:
        """As an operand of the operations after it."""
        return f"({self.left}{self.sign}{self.right})"


class CountdownTeacher:
    """For 41 of 7, 3 and 20: `7*3=21,(7*3);21,20>41`, then `21+20=41,((7*3)+20);41>41 hit`.

    A step computes with two values, writes of which numbers the new one is made, and what is left of the problem: the
    values to use and the target. A step can so be judged by itself; the last one says whether the target is hit.
    """

    phrases = (
        *PHRASES,
        HIT,
        MISS,
        "Using all the numbers ",
        ", create an expression that equals ",
        ".\nYou can only use each number once.",
        "Find a way to make ",
        " using all of these numbers: ",
        ".\nEach number can only be used once.",
        "Calculate ",
        ".\nEach number may be used at most once.",
        "\n\nFinal answer format instructions:\n1. Provide your solution as a arithmetic expression (no '=' sign).\n"
        "2. Do not include the target number in the expression.\n3. Use '*' for multiplication.\n"
        "4. Use '/' for division.\n5. Do not include any other text or formatting.\n",
    )

    def trace(self, truth: GroundTruth, prompt: str, mistakes: Sequence[Mistake], seed: int) -> list[str]:
        """One step an operation, then the answer. A mistake is another sign, with which the target is missed."""
        metadata = cast(Mapping[str, object], truth.payload["metadata"])
        todo, target = list(operations(cast(str, metadata["expression"]))), metadata["target"]
        signs = "+-*" if any(operation.sign in "*/" for operation in todo) else "+-"
        waiting = [[str(number) for number in cast(Sequence[int], metadata["numbers"])]]
        made = {number: Made(Fraction(number), number) for number in waiting[0]}
        for operation in todo:
            rest = [*waiting[-1]]
            rest.remove(operation.left)
            rest.remove(operation.right)
            waiting.append([operation.text, *rest])

        def write(i: int, _before: str, rng: Random | None) -> tuple[str, str]:
            name, sign = todo[i].text, todo[i].sign
            if rng is not None:
                others = [other for other in signs if other != sign]
                missing = [other for other in others if _end(made, todo[i:], other) != _end(made, todo[i:], sign)]
                sign = rng.choice(missing or others)
            a, b = made[todo[i].left], made[todo[i].right]
            made[name] = apply(a, sign, b)
            rest = ",".join(str(made[other].value) for other in waiting[i + 1])
            verdict = "" if i < len(todo) - 1 else HIT if made[name].value == target else MISS
            text = f"{a.value}{sign}{b.value}={made[name].value},{made[name].text};{rest}>{target}{verdict}"
            return text, made[name].text

        steps, answer = write_chain(len(todo), "", write, mistakes, seed)
        return [*steps, ANSWER + answer]


class Made(NamedTuple):
    """A value, and of which numbers it is made."""

    value: Fraction
    text: str


def apply(a: Made, sign: str, b: Made) -> Made:
    """What an operation makes; dividing by zero, after a mistake, makes zero."""
    text = f"({a.text}{sign}{b.text})"
    if sign == "/":
        return Made(a.value / b.value if b.value else Fraction(0), text)
    value = a.value * b.value if sign == "*" else a.value + b.value if sign == "+" else a.value - b.value
    return Made(value, text)


def _end(made: Mapping[str, Made], todo: Sequence[Operation], first_sign: str) -> Fraction:
    """Where operations lead, the first of them with a sign of its own."""
    reached = dict(made)
    for i, operation in enumerate(todo):
        sign = operation.sign if i else first_sign
        reached[operation.text] = apply(reached[operation.left], sign, reached[operation.right])
    return reached[todo[-1].text].value


def operations(expression: str) -> Iterator[Operation]:
    """The operations of an expression of whole numbers with + - * /, innermost and positive terms first.

    The expression is a generator's own: it is taken apart, never evaluated.
    """
    yield from _work(_SignsOutside().visit(ast.parse(expression, mode="eval").body))[1]


class _SignsOutside(ast.NodeTransformer):
    """`-a*b` is read as `(-a)*b`; it becomes `-(a*b)`, a term to be subtracted."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if not _is(node, ast.Mult, ast.Div):
            return node
        minus = False
        for side in ("left", "right"):
            while isinstance(part := getattr(node, side), ast.UnaryOp):
                minus = not minus
                setattr(node, side, part.operand)
        return ast.UnaryOp(ast.USub(), node) if minus else node


def _work(node: ast.expr) -> tuple[str, list[Operation]]:
    """How a part is written as an operand, and the operations that it takes."""
    if isinstance(node, ast.Constant):
        return str(node.value), []
    inverse = "-" if _is(node, ast.Add, ast.Sub) else "/"
    parts = sorted(_parts(node, inverse, False), key=lambda part: part[0])
    text, done = _work(parts[0][1])
    for inverted, part in parts[1:]:
        other, before = _work(part)
        operation = Operation(text, inverse if inverted else {"-": "+", "/": "*"}[inverse], other)
        done = [*done, *before, operation]
        text = operation.text
    return text, done


def _parts(node: ast.expr, inverse: str, inverted: bool) -> Iterator[tuple[bool, ast.expr]]:
    """Terms of a sum, or factors of a product, and whether each is subtracted, or divided by."""
    if isinstance(node, ast.UnaryOp) and inverse == "-":
        yield from _parts(node.operand, inverse, not inverted)
    elif isinstance(node, ast.BinOp) and _is(node, *((ast.Add, ast.Sub) if inverse == "-" else (ast.Mult, ast.Div))):
        yield from _parts(node.left, inverse, inverted)
        yield from _parts(node.right, inverse, inverted != _is(node, ast.Sub, ast.Div))
    else:
        yield inverted, node


def _is(node: ast.expr, *kinds: type[ast.operator]) -> bool:
    if isinstance(node, ast.UnaryOp):
        return ast.Add in kinds
    return isinstance(node, ast.BinOp) and isinstance(node.op, kinds)
