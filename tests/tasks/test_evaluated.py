"""Scorers of reasoning_gym that evaluate answers: nothing that a model wrote is executed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from o1kit.rewards.pool import Job, ScoringPool
from o1kit.tasks.config import ReasoningGymConfig
from o1kit.tasks.evaluated import EXPRESSIONS, LITERALS, guard_numbers, is_plain
from o1kit.tasks.gym import ReasoningGymSource
from o1kit.types import GroundTruth

EVALUATING = [name.split(".")[1] for name in (*LITERALS, *EXPRESSIONS)]
CODE = (
    "__import__('os').mkdir('{path}')",
    "1+__import__('os').mkdir('{path}')",
    "[__import__('os').mkdir('{path}')]",
    "exec(bytes([{codes}]))",
    "eval({chars})",
    "().__class__.__base__.__subclasses__()[0](__import__('os').mkdir('{path}'))",
    "sin(1).__class__.__init__.__globals__['__builtins__']['__import__']('os').mkdir('{path}')",
    "(lambda: __import__('os').mkdir('{path}'))()",
    "print(open('{path}', 'w'))",
    "ｅｘｅｃ({chars})",
)
"""Ways to make the folder {path}; fullwidth letters are the same name to Python."""


def truths(generator: str, count: int, seed: int = 0) -> list[GroundTruth]:
    source = ReasoningGymSource(ReasoningGymConfig(kind="reasoning_gym", generator=generator))
    return [truth for _, truth in source.generate(seed, count)]


def hostile(path: Path) -> Iterator[str]:
    deed = f"__import__('os').mkdir('{path}')"
    codes = ",".join(map(str, deed.encode()))
    chars = "+".join(f"chr({code})" for code in deed.encode())
    for text in CODE:
        yield text.replace("{path}", str(path)).replace("{codes}", codes).replace("{chars}", chars)


@pytest.mark.parametrize("generator", EVALUATING)
def test_no_answer_is_executed_whatever_the_platform_confines(generator: str, tmp_path: Path) -> None:
    """In this process, which nothing confines."""
    (truth,) = truths(generator, 1)
    for answer in hostile(tmp_path / "made"):
        assert ReasoningGymSource.score(truth, answer) < 0.1, answer
        assert not (tmp_path / "made").exists(), answer


def test_nor_in_workers(tmp_path: Path) -> None:
    answers = list(hostile(tmp_path / "made"))
    jobs = [Job(ReasoningGymSource, truths(name, 1)[0], answer) for name in EVALUATING for answer in answers]
    with ScoringPool(num_workers=1) as pool:
        assert {verdict.outcome for verdict in pool.judge(jobs)} == {"wrong"}
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("generator", EVALUATING)
def test_right_answers_are_right_still(generator: str) -> None:
    assert [ReasoningGymSource.score(truth, truth.answer) for truth in truths(generator, 12)] == [1.0] * 12


def test_lists_are_read_still() -> None:
    (truth,) = truths("spiral_matrix", 1)
    assert ReasoningGymSource.score(truth, str(truth.answer.split())) == 0.1


@pytest.mark.parametrize(
    "text",
    [
        "12",
        "(3 + 4)*6/2 - 1",
        "1.5e3",
        ".5",
        "X**2/2 + C",
        "exp(-x)*sin(2*x)",
        "Integral(x**2*cos(x), x)",
        "theta^2",
        "5!",
    ],
)
def test_plain_expressions(text: str) -> None:
    assert is_plain(text)


STRANGE = """
    'a' "a" x.real 1.0.real x[0] {1} x=1 a;b __a a__b _ lambda ² é eval(x) exec(x) open(x) chr(95) input() print(1)
    getattr(x,y) sympify(x) Symbol(x) \\ preview(x) plot(x) lambdify(x,x) test() None int(1) x#y `x` a:b a@b x&y
"""


@pytest.mark.parametrize("text", STRANGE.split())
def test_what_is_no_plain_expression(text: str) -> None:
    assert not is_plain(text)


def test_no_other_scorer_of_the_installed_reasoning_gym_evaluates() -> None:
    """A later version may have one: then look whether it is given answers, and guard it or list it here."""
    root = Path(str(import_module("reasoning_gym").__file__)).parent
    call = re.compile(
        r"(?<!def )(?<![\w.])(?:eval|exec|compile|sympify|__import__)\(|\b(?:sp|sympy)\.sympify\(|parse_expr\("
    )
    found = Counter(
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in root.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if call.search(line) and "def parse_expr" not in line
    )
    for name in (*LITERALS, *EXPRESSIONS):
        assert found.pop(name, 0) > 0, f"{name} evaluates no more"
    assert set(found) == {
        "algorithmic.number_sorting",  # its own answer
        "arithmetic.basic_arithmetic",  # these make problems
        "arithmetic.bitwise_arithmetic",
        "arithmetic.gsm_symbolic.generators_00_49",
        "arithmetic.gsm_symbolic.generators_50_99",
        "code.codeio",
        "logic.propositional_logic",  # a parser of its own
    }


@pytest.mark.slow
def test_every_generators_scorer_works_in_confined_workers() -> None:
    """As in this process: word lists, fonts and boards are found there too."""
    factory = import_module("reasoning_gym.factory")
    left_out = {"composite", "rearc", "codeio", "game_of_life_halting"}  # options needed, or slow to make
    made = [truth for name in sorted(set(factory.DATASETS) - left_out) for truth in truths(name, 1)]
    jobs = [Job(ReasoningGymSource, truth, answer) for truth in made for answer in (truth.answer, "7")]
    with ScoringPool(num_workers=1, timeout_s=20) as pool:
        verdicts = pool.judge(jobs)
    for job, verdict in zip(jobs, verdicts, strict=True):
        try:
            credit = ReasoningGymSource.score(job.truth, job.answer)
        except Exception:
            assert verdict.outcome == "error", job
        else:
            assert verdict.credit == min(credit, 1.0), job


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """How sympy itself reads a text; how it reads it here is replaced for the test."""
    parser = import_module("sympy.parsing.sympy_parser")
    own = parser.parse_expr
    monkeypatch.setattr(parser, "parse_expr", own)  # which puts it back
    guard_numbers.__wrapped__()
    return own


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.from_regex(r"\A([1-9][0-9]{0,30}|0{1,3}|[0-9]{0,6}\.[0-9]{1,30}|[0-9]{1,6}\.|[0-9]{1,3}[eE]-?[0-9]{1,2})\Z"))
def test_numbers_are_what_sympy_evaluates_them_to(unguarded: Callable[[str], Any], text: str) -> None:
    number, expected = import_module("sympy").Number(text), unguarded(text)
    assert (number, type(number)) == (expected, type(expected))
    assert getattr(number, "_prec", None) == getattr(expected, "_prec", None)


def test_sympy_reads_rationals_and_plain_expressions_as_before(unguarded: Callable[[str], Any]) -> None:
    sympy = import_module("sympy")
    assert sympy.sympify("0.25", rational=True) == sympy.Rational(1, 4)
    for text in ("x + 2*pi", "sin(x)**2", "E", "oo"):
        assert sympy.sympify(text) == unguarded(text)


@pytest.mark.usefixtures("unguarded")
@pytest.mark.parametrize("text", ["__import__('os').mkdir('{path}')", "exit()", "().__class__", "9_9", "'a'"])
def test_sympy_makes_nothing_of_code(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="could not parse"):
        import_module("sympy").sympify(text.replace("{path}", str(tmp_path / "made")))
    assert not (tmp_path / "made").exists()
