"""Graders: what each calls right, where it may run, and real right answers in many forms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.graders import (
    FILES,
    HOSTILE,
    changed,
    executions,
    expressions,
    fill,
    forms,
    given,
    grader,
    jobs,
    noticed,
    right_answers,
    undecided,
)
from benchmarks.watched import Careless, Watched, seen
from o1kit import registry
from o1kit.errors import DataError, EnvironmentFailure
from o1kit.rewards.pool import ScoringPool
from o1kit.tasks.graders.grader import WORKER, label
from o1kit.types import GroundTruth

DATA = Path(__file__).parents[2] / "../shared/data"
RIGHT = [
    ("18", r"\boxed{18}"), ("18", "18 dollars"), ("1,234", "1234"), ("70000", "70,000 dollars a year"), ("27.0", "27"),
    ("1/2", "0.5"), ("1/3", "0.333333"), (r"\frac{3}{4}", "3/4"), ("11\\frac{1}{2}", "11.5"), ("1000000", "10^6"),
    (r"2\sqrt{3}", r"2\sqrt{3} meters"), (r"2\sqrt{3}", r"$\sqrt{12}$"), (r"2\sqrt{3}", r"\boxed{2\sqrt3\text{ m}}"),
    (r"\frac{\sqrt{3}}{2}", r"$\frac{\sqrt{3}}{2}$ of the area, as claimed."), (r"\sqrt{2}", "1.414214"),
    ("(1,2]", r"\boxed{(1, 2]}"), (r"(-\infty,3)\cup(5,\infty)", r"$(-\infty, 3) \cup (5, \infty)$"),
    (r"\{1,2,3\}", r"$\{3,2,1\}$"), ("1,2", "2, 1"), ("1<x\\le 2", "(1,2]"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}}"),
    ("50%", r"50\%"), ("50%", "0.5"), ("50", "50%"), (r"90^\circ", "90"), ("12", r"12\text{ cm}^2"), ("12 cm^2", "12"),
    ("B", "(B)"), ("B", r"\textbf{(B)}\ 12"), ("B", "B. 12 meters"), ("(C)", "c"), ("B", "option B"),
    ("x^2+y^2", "$y^2 + x^2$"), (r"x=5", "5"), ("5", "x = 5"), ("6-5i", "-5i+6"), ("Paris", r"\text{paris}."),
    ("16", "The answer is 12. Wait. The answer is \\boxed{16}"), ("18", "18. Check: 3*6 = 18."), ("9^9", "9^9"),
    ("10", r"\binom{5}{2}"), ("16", r"\sqrt{256}"), ("24", "4!"), (r"(-\infty,2]", r"x \le 2"),
    ("e^{x^2}", "$e^{x^2}$"),
    ("2,-3", "$-3$ and $2$"), (r"\$5.50", "5.5"), ("10:45 AM", "10:45 am"), ("A", "The correct answer is (A)."),
    (r"\sqrt{5}", "√5"), (r"\sqrt{x+1}", "√(x+1)"), (r"\frac{\pi}{2}", "pi/2"), (r"2\pi", "2pi"),
    (r"(-\infty,-1)\cup(1,\infty)", "x<-1 or x>1"), ("x<-1 or x>1", r"(-\infty,-1)\cup(1,\infty)"),
    (r"(-\infty,-1]\cup[1,2)", r"x \le -1 \text{ or } 1<=x<2"),
]  # fmt: skip
WRONG = [
    ("18", "19"), ("18", "2 or 18"), ("18", "18 or 2"), ("18", "x > 18"), ("3", r"\{3, 4\}"), ("3", "3, 4"), ("18", ""),
    (r"2\sqrt{3}", r"2\sqrt{5}"), (r"2\sqrt{3}", "2\\sqrt{3} or 5"), (r"2\sqrt{3}", "2"), (r"\sqrt{2}", "1.414215"),
    ("(1,2]", "(1,2)"), ("(1,2]", "[1,2]"), (r"\{1,2,3\}", r"\{1,2,4\}"), (r"\{1,2,3\}", "1,2"), ("50%", "51%"),
    ("B", "C"), ("B", "B or C"), ("A", "A, C"), ("D", "A, B, C, D"),
    ("256", r"\sqrt{256}"), ("(3,4)", "(4,3)"), ("-2<x<3", "x<3"),
    ("2,-3", "2"), (r"\pm 4", "4"), ("5", "5x"), ("1:2", "2:1"), ("B", "A man"), ("x^2+y^2", "x^2+2y^2"),
    ("Paris", "London"), ("1/3", "0.33"),
    ("0.123456789", "0.123456788"), ("10^{-7}", "2*10^{-7}"), ("109200000", "109200001"), ("5", "٥"), ("5", "nan"),
    ("9", "not 9"), ("9", "It is not 9"), (r"\sqrt{5}", "not √5"), (r"\sqrt{5}", "√6"), (r"\frac{\pi}{2}", "2/pi"),
    (r"(-\infty,-1)\cup(1,\infty)", "x<=-1 or x>1"), (r"(-\infty,-1)\cup(1,\infty)", "x<-1 or y>1"),
]  # fmt: skip
OTHER_VALUES = [
    "5 pi", "5 sqrt(2)", "5±1", "5 hundred", "5 dozen", "5 bn", "5 lakh", "5 tenths", "5 thousandths", "5 000", "5'000",
    "5 to 6", "5~6", "5 | 6", "5 ∨ 6", "5 vs 6", "less than 5", "at least 5", "more than 5", "5 less than 9",
    "5 or more", "5 is wrong", "5 is not the answer", "5 squared", "$5$ squared", "$5$ is wrong", "--5", "5_000",
]  # fmt: skip


@pytest.fixture(scope="module")
def pool() -> Iterator[ScoringPool]:
    with ScoringPool(num_workers=1, timeout_s=5.0) as pool:
        yield pool


def outcomes(pool: ScoringPool, judge: Any, pairs: list[tuple[str, str | None]]) -> list[str]:
    return [verdict.outcome for verdict in pool.judge(jobs(judge, pairs))]


def test_math_accepts_other_forms_and_rejects_other_values(pool: ScoringPool) -> None:
    math = grader("math")
    found = outcomes(pool, math, [*RIGHT, *WRONG])
    told = dict(zip([*RIGHT, *WRONG], found, strict=True))
    assert [pair for pair in RIGHT if told[pair] != "right"] == []
    assert [pair for pair in WRONG if told[pair] != "wrong"] == []
    assert outcomes(pool, math, [("5", None)]) == ["no_answer"]


@pytest.mark.parametrize(
    ("options", "right", "answer", "credit"),
    [
        ({}, "1/3", "0.333333", 1), ({}, "1/3", "0.33", 0), ({"absolute": 0.01}, "1/3", "0.33", 1),
        ({"relative": 0.01}, "1000", "1010", 1), ({"relative": 0.01}, "1000", "1011", 0), ({}, "1000", "1001", 0),
        ({"absolute": 0.0}, "0.5", "0.5000001", 0), ({}, "0.5", "0.5000001", 1), ({}, "18", "#### 18", 1),
        ({}, "18", r"The answer is 17. No: \boxed{18}", 1), ({}, "18", "9**9**9**9", 0), ({}, "18", None, 0),
        ({}, "5", "not 5", 0), ({}, "5", "5, not 6", 1), ({}, "5", "not x = 5", 0), ({}, "5", "It isn't 6, x = 5", 1),
    ],
)  # fmt: skip
def test_numeric_tolerances(options: dict[str, float], right: str, answer: str | None, credit: float) -> None:
    assert grader("numeric", **options).score(GroundTruth("p", right), answer) == credit


@pytest.mark.parametrize("kind", ["numeric", "math"])
def test_words_and_signs_that_make_another_value_are_wrong(pool: ScoringPool, kind: str) -> None:
    found = outcomes(pool, grader(kind), [("5", text) for text in OTHER_VALUES])
    assert [text for text, outcome in zip(OTHER_VALUES, found, strict=True) if outcome != "wrong"] == []
    read = [("5000", "5 000"), ("5000", "5'000"), ("500", "5 hundred"), ("60", "5 dozen"), ("5", "5, not 6"),
            ("5", "5 apples, which is right"), ("500000", "5 hundred thousand")]  # fmt: skip
    assert set(outcomes(pool, grader(kind), read)) == {"right"}


@pytest.mark.parametrize("kind", ["numeric", "math"])
def test_another_unit_is_wrong_and_a_missing_one_is_not(pool: ScoringPool, kind: str) -> None:
    wrong = [("12 cm", "12 m"), ("12 kg", "12 g"), ("12 minutes", "12 hours"), ("$12", "12 cents")]
    right = [("12 cm", "12"), ("12", "12 m"), ("12 cm", "12 centimeters"), ("12 apples", "12 m"), ("$12", "12 dollars")]
    assert set(outcomes(pool, grader(kind), wrong)) == {"wrong"}
    assert set(outcomes(pool, grader(kind), right)) == {"right"}


def test_a_set_is_no_tuple_and_no_interval(pool: ScoringPool) -> None:
    pairs = [(r"\{1,2\}", "(1,2)"), ("(1,2)", r"\{1,2\}"), ("(3,4)", r"$\{3,4\}$"), (r"\{3,4\}", "[3,4]")]
    assert set(outcomes(pool, grader("math"), pairs)) == {"wrong"}
    assert outcomes(pool, grader("math"), [(r"\{1,2\}", r"\left\{2,1\right\}")]) == ["right"]


def test_the_speed_of_math_verify_is_measured_on_pairs_that_reach_it() -> None:
    pairs = undecided([*expressions(50), *expressions(50), ("18", "19"), ("x^2+{a}", "x^2+{a}")])
    assert len(pairs) == len(set(pairs)) >= 200
    assert not {("18", "19"), ("x^2+{a}", "x^2+{a}")} & set(pairs)


def test_numeric_needs_numbers() -> None:
    assert grader("numeric").refuses("18 apples") is None
    assert "no number" in grader("numeric").refuses("Paris")
    with pytest.raises(ValueError, match="no number"):
        grader("numeric").score(GroundTruth("p", "Paris"), "Paris")


@pytest.mark.parametrize("kind", ["math", "python"])
def test_graders_of_model_text_run_in_workers_only(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORKER, raising=False)
    judge = grader(kind, **({"runs_model_code": True} if kind == "python" else {}))
    with pytest.raises(RuntimeError, match="scoring workers only"):
        judge.prepare(GroundTruth("p", "1"))
    with pytest.raises(RuntimeError, match="scoring workers only"):
        judge.score(GroundTruth("p", "1"), "1")


def test_versions_say_all_that_verdicts_depend_on() -> None:
    assert label(grader("exact")) == "exact 1"
    assert label(grader("math")).startswith("math 3 (math-verify 0.")
    assert label(grader("numeric", relative=0.01)) == "numeric 3 (absolute 1e-06, relative 0.01)"
    assert "512 MB" in label(grader("python", runs_model_code=True, memory_mb=512))


def test_what_is_missing_is_said_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("o1kit.tasks.graders.python.missing", lambda: "this kernel has no seccomp")
    with pytest.raises(EnvironmentFailure, match="no seccomp"):
        grader("python", runs_model_code=True).check()
    monkeypatch.setattr("o1kit.tasks.graders.mathematics._installed", lambda: "math-verify missing")
    with pytest.raises(EnvironmentFailure, match=r"Install `math-verify"):
        grader("math").check()


def test_hostile_answers_are_wrong_and_leave_the_pool_healthy(pool: ScoringPool, tmp_path: Path) -> None:
    texts = fill(HOSTILE, tmp_path / "canary", tmp_path / "victim")
    texts.pop("a hard integral")  # takes the whole time limit: see below
    before = pool.restarts
    for judge in (grader("math"), grader("numeric"), grader("exact")):
        found = outcomes(pool, judge, [("7", text) for text in texts.values()] + [("7", "7")])
        assert found == ["wrong"] * len(texts) + ["right"]
        hard = outcomes(pool, judge, [(r"2\sqrt{3}" if judge.name == "math" else "7", t) for t in texts.values()])
        assert hard == ["wrong"] * len(texts)
    assert pool.restarts == before
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_an_answer_is_executed_where_it_is_judged(tmp_path: Path) -> None:
    """By what the interpreter of the worker tells, also of the digits of answers that sympy makes numbers of."""
    texts = [text for name, text in fill(HOSTILE, tmp_path / "canary", tmp_path).items() if name != "a hard integral"]
    texts += ["3.5x + 1{,}000", r"x_{12} + 50\%", r"\{1, 2\}", r"(1, 2.5]"]
    with ScoringPool(num_workers=1) as pool:
        for kind, right in (("numeric", "7"), ("exact", "7"), ("math", r"2\sqrt{3}"), ("math", r"\{1, 2\}")):
            pool.judge(jobs(Watched(grader(kind), tmp_path / "told"), [(right, text) for text in texts]))
    assert (tmp_path / "told").exists()
    assert executions(seen(tmp_path / "told")) == []


def test_the_watch_sees_every_way_to_execute_an_answer(tmp_path: Path) -> None:
    assert noticed(tmp_path / "told") == list(Careless.ways)


def test_what_keeps_sympy_busy_is_a_timeout(tmp_path: Path) -> None:
    integral = HOSTILE["a hard integral"]
    with ScoringPool(num_workers=1, timeout_s=0.4) as pool:
        assert outcomes(pool, grader("math"), [(r"2\sqrt{3}", integral)]) == ["timeout"]
        assert outcomes(pool, grader("numeric"), [("7", "7")]) == ["right"]


@pytest.mark.parametrize("kind", ["numeric", "math"])
@pytest.mark.parametrize("file", FILES)
def test_real_right_answers_pass_in_every_form_and_no_other(pool: ScoringPool, file: str, kind: str) -> None:
    """A sample; `benchmarks/graders.py` takes them all."""
    path = DATA / f"{file}.jsonl"
    if not path.exists():
        pytest.skip("the public benchmark data are not beside this checkout")
    draw = Random(file)
    answers = draw.sample(right_answers(path), 25)
    wrong = [changed(answer, draw) for answer in answers]
    right_pairs = [(a, given(form)) for i, a in enumerate(answers) for form in forms(a, i).values()]
    wrong_pairs = [
        (a, given(form)) for i, (a, w) in enumerate(zip(answers, wrong, strict=True)) for form in forms(w, i).values()
    ]
    judge = grader(kind)
    assert set(outcomes(pool, judge, right_pairs)) == {"right"}
    assert set(outcomes(pool, judge, wrong_pairs)) == {"wrong"}


def test_a_right_answer_that_a_grader_cannot_use_is_an_error_with_its_line(tmp_path: Path) -> None:
    source = registry.lookup("tasks", "jsonl")
    (tmp_path / "rows.jsonl").write_text('{"question": "a?", "answer": "1"}\n{"question": "b?", "answer": "Paris"}\n')
    config = source_section("rows.jsonl", kind="numeric")
    with pytest.raises(DataError, match=r"rows.jsonl:2: field 'answer' holds 'Paris': it is no number"):
        source(config, tmp_path).check()


def source_section(path: str, **options: Any) -> Any:
    from o1kit.tasks.config import JsonlConfig

    return JsonlConfig.model_validate({"kind": "jsonl", "path": path, "grader": options})
