r"""Whether graders can be trusted: `python -m benchmarks.graders --data FOLDER`.

For the right answers of GSM8K, AIME 2024 and AMC 2023 (gsm8k_train.jsonl, gsm8k_test.jsonl, aime24.jsonl, amc23.jsonl
in the folder), each at the end of a chain: the share accepted as they are and in five rewritten forms (boxed, with a
unit, with commas, as a fraction or a decimal, with words after it), and the share rejected of the same with one digit
changed. Then how many answers a second two workers judge, and what becomes of hostile answers: how each ends, and what
code comes to be in the worker that judges it (see `watched`). Ends with status 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import psutil
from pydantic import TypeAdapter

from benchmarks.watched import Careless, Seen, Watched, seen
from o1kit.functional.answers import find_answer
from o1kit.rewards.pool import Job, ScoringPool, Verdict
from o1kit.tasks.graders.config import GraderConfig
from o1kit.tasks.graders.grader import build_grader, label
from o1kit.tasks.graders.mathematics import decided
from o1kit.types import GroundTruth

FILES = ("gsm8k_train", "gsm8k_test", "aime24", "amc23")
UNITS = ("{} dollars", "${}", "{} kg", r"{}\text{{ apples}}", "{} miles per hour", r"${}\,\text{{cm}}^2$", "{}°")
TRAILING = ("{}. I hope it is correct.", "{}, as was to be shown.", "{} in all", "{}.\n\nThat was easy.")
EXPRESSIONS = (
    (r"{a}\sqrt{{{b}}}", r"{b}\sqrt{{{a}}}"),
    (r"\frac{{{a}\pi}}{{{b}}}", r"\frac{{{b}\pi}}{{{a}}}"),
    ("({a}, {b}]", "[{a}, {b}]"),
    (r"\{{{a}, {b}, {c}\}}", r"\{{{a}, {b}\}}"),
    (r"x^2 + {a}x + {b}", r"x^2 + {b}x + {a}"),
    (r"\frac{{{a}\sqrt{{3}}}}{{{b}}}", r"\frac{{{a}\sqrt{{2}}}}{{{b}}}"),
    (r"(-\infty, {a}) \cup ({b}, \infty)", r"(-\infty, {a}) \cup ({c}, \infty)"),
    (r"\begin{{pmatrix}} {a} \\ {b} \end{{pmatrix}}", r"\begin{{pmatrix}} {b} \\ {a} \end{{pmatrix}}"),
    (r"{a} + {b}i", r"{a} - {b}i"),
    (r"\log_{{{a}}} {b}", r"\log_{{{b}}} {a}"),
)
"""Right answers that only math-verify can judge, each with a wrong one."""
HOSTILE = {
    "9**9**9**9": "9**9**9**9",
    "1 MB of brackets": "[" * 1_000_000,
    "a call": "__import__('os').system('touch CANARY')",
    "a call in LaTeX": r"\boxed{__import__('os').system('touch CANARY')}",
    "a call as an operator": r"$\operatorname{__import__}('os').system('touch CANARY')$",
    "a tower in LaTeX": r"\boxed{9^{9^{9^{9}}}}",
    "a large sum": r"\boxed{\sum_{n=1}^{10^{9}} \sin(n)}",
    "a hard integral": r"\boxed{\int_0^1 \frac{e^{x^3} \sin(x^5)}{\log(x^7 + 2)} dx}",
    "a large factorial": r"\boxed{99999999!}",
    "deep LaTeX": "\\frac{1}{" * 5000 + "1" + "}" * 5000,
    "deep braces": "{" * 20 + "x" + "}" * 20,
    "NUL bytes": "1\0" * 1000,
    "a lone surrogate": "\ud800",
    "5,000 digits": "9" * 5000,
    "1e999999": "1e999999",
}
PROGRAMS = {
    "a fork bomb": "import os\nwhile True:\n    os.fork()",
    "a fork bomb that goes on": "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        0",
    "a double fork": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    os.fork()\n    time.sleep(600)",
    "a shell in the background": "import subprocess\nsubprocess.Popen('sleep 600 &', shell=True)",
    "an allocator": "x = []\nwhile True:\n    x.append(bytearray(10**7))",
    "an endless printer": "while True:\n    print('spam' * 1000)",
    "a file filler": "with open('CANARY', 'wb') as f:\n    while True:\n        f.write(bytes(10**6))",
    "a file remover": "import os\nos.remove('VICTIM')",
    "a thread": "import threading\nthreading.Thread(target=print).start()",
    "a socket": "import socket\nsocket.create_connection(('127.0.0.1', 9))",
    "a killer": "import os\nos.kill(os.getppid(), 9)",
    "a loop": "while True:\n    pass",
    "a sleeper": "import time\ntime.sleep(600)",
    "a big power": "print(9**9**9**9)",
    "a deaf one": "import signal, time\nfor s in range(1, 30):\n    try:\n        signal.signal(s, signal.SIG_IGN)\n"
    "    except OSError:\n        pass\nwhile True:\n    pass",
}
_GRADERS: Any = TypeAdapter(GraderConfig)


def grader(kind: str, **options: Any) -> Any:
    """A grader of a kind."""
    return build_grader(_GRADERS.validate_python({"kind": kind, **options}))


def right_answers(path: Path) -> list[str]:
    """The right answers of a file, as written there."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [str(row["answer"]).rpartition("####")[2].strip() for row in rows]


def forms(answer: str, index: int = 0) -> dict[str, str]:
    """Ends of chains that state an answer: as it is, and in five other forms."""
    value = Fraction(answer.replace(",", ""))
    whole = str(value.numerator) if value.denominator == 1 else answer
    other = (f"{2 * value.numerator}/2", rf"\frac{{{abs(3 * value.numerator)}}}{{3}}", f"{whole}.00")[index % 3]
    if other.startswith("\\") and value < 0:
        other = f"-{other}"
    return {
        "own": f"#### {answer}",
        "boxed": rf"So it is $\boxed{{{answer}}}$.",
        "unit": f"The answer is {UNITS[index % len(UNITS)].format(answer)}.",
        "commas": f"The final answer is {int(value):,}." if value.denominator == 1 else f"#### {answer}",
        "fraction or decimal": f"The answer is {other}",
        "trailing text": f"The answer is {TRAILING[index % len(TRAILING)].format(answer)}",
    }


def changed(answer: str, draw: Random) -> str:
    """The answer with one digit changed to another, so that it is another number."""
    places = [i for i, character in enumerate(answer) if character.isdigit()]
    i = draw.choice(places)
    digit = draw.choice([d for d in "0123456789" if d != answer[i]])
    found = answer[:i] + digit + answer[i + 1 :]
    assert Fraction(found.replace(",", "")) != Fraction(answer.replace(",", ""))
    return found


def expressions(problems: int, samples: int = 8) -> list[tuple[str, str]]:
    """Right answers, each with several that were given: no two are alike, every other one is wrong."""
    draw, pairs = Random(1), []
    for i in range(problems):
        right, wrong = EXPRESSIONS[i % len(EXPRESSIONS)]
        a = draw.randrange(2, 400)
        numbers = {"a": a, "b": a + draw.randrange(1, 400), "c": a + 1000}
        for j in range(samples):
            form = right.format(**numbers) if j % 2 else wrong.format(**{**numbers, "a": a + 1000 * (j + 1)})
            scaled = j % 2 and "sqrt" in right
            pairs.append(
                (right.format(**numbers), rf"\boxed{{\frac{{{j + 1}({form})}}{{{j + 1}}}}}" if scaled else form)
            )
    return pairs


def undecided(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str | None]]:
    """The pairs that only math-verify can judge, each once."""
    return [pair for pair in dict.fromkeys(pairs) if decided(*pair) is None]


def given(chain: str) -> str | None:
    """What a policy makes of the end of a chain."""
    return find_answer(f"It has 3 parts of 2, so 3 * 2 = 6.\n{chain}", "final")


def jobs(judge: Any, pairs: Sequence[tuple[str, str | None]]) -> list[Job]:
    """Answers to be judged."""
    return [Job(judge, GroundTruth("benchmark", right), answer) for right, answer in pairs]


def fill(texts: dict[str, str], canary: Path, victim: Path) -> dict[str, str]:
    """Hostile texts with the paths of the file they must not make and the one they must not touch."""
    return {name: text.replace("CANARY", str(canary)).replace("VICTIM", str(victim)) for name, text in texts.items()}


def acceptance(pool: ScoringPool, answers: Sequence[str], judge: Any) -> Iterator[tuple[str, int, int, int]]:
    """For each form: how many answers, how many accepted, and how many rejected of those with a digit changed."""
    draw = Random(0)
    wrong = [changed(answer, draw) for answer in answers]
    for form in forms("1"):
        right = [(answer, given(forms(answer, i)[form])) for i, answer in enumerate(answers)]
        other = [(answer, given(forms(w, i)[form])) for i, (answer, w) in enumerate(zip(answers, wrong, strict=True))]
        accepted = sum(v.outcome == "right" for v in pool.judge(jobs(judge, right)))
        rejected = sum(v.outcome == "wrong" for v in pool.judge(jobs(judge, other)))
        yield form, len(answers), accepted, rejected


def throughput(pool: ScoringPool, judge: Any, pairs: Sequence[tuple[str, str | None]]) -> float:
    """Answers a second, with workers that are warm from the first 64, which are not measured."""
    pool.judge(jobs(judge, pairs[:64]))
    start = time.perf_counter()
    verdicts = pool.judge(jobs(judge, pairs[64:]))
    seconds = time.perf_counter() - start
    assert all(v.outcome in ("right", "wrong") for v in verdicts)
    return len(verdicts) / seconds


def _data(folder: Path, judges: Sequence[Any]) -> bool:
    good = True
    print("| file | grader | form | answers | accepted | changed by one digit: rejected |\n|---|---|---|---|---|---|")
    with ScoringPool() as pool:
        for file in FILES:
            answers = right_answers(folder / f"{file}.jsonl")
            for judge in judges:
                for form, total, accepted, rejected in acceptance(pool, answers, judge):
                    print(f"| {file} | {judge.name} | {form} | {total} | {accepted} | {rejected} |")
                    good &= accepted == rejected == total
        print(f"\nOutcomes: {dict(pool.counts)}, workers replaced: {pool.restarts}")
    return good


def _speed(folder: Path, numeric: Any, math: Any) -> bool:
    answers = right_answers(folder / "gsm8k_test.jsonl")
    numbers = [(a, given(form)) for i, a in enumerate(answers) for form in forms(a, i).values()]
    hard = undecided(expressions(50))
    with ScoringPool() as pool:
        plain, symbolic = throughput(pool, numeric, numbers), throughput(pool, math, hard)
        easy = throughput(pool, math, numbers)
    print(f"\nAnswers a second on {pool.num_workers} workers:")
    print(
        f"numeric {plain:.0f} (>= 500); math {easy:.0f} on the same numbers, {symbolic:.0f} (>= 100: "
        f"{'met' if symbolic >= 100 else 'missed'}) on {len(hard)} pairs by math-verify, no two alike, "
        "none decided by the rules before it, the first 64 to warm up"
    )
    return plain >= 500 and symbolic >= 100


def noticed(file: Path) -> list[str]:
    """The ways to execute an answer that a watched worker tells of, when a grader takes them."""
    found = []
    with ScoringPool(num_workers=1) as pool:
        for way in Careless.ways:
            before = len(seen(file))
            pool.judge([Job(Watched(Careless(), file), GroundTruth("benchmark", way), "2 + 5")])
            found += [way] if any(not one.generated for one in seen(file)[before:]) else []
    return found


def executions(lines: Sequence[Seen]) -> list[Seen]:
    """What was executed for an answer, of all that watched workers tell of."""
    return [one for one in lines if not one.generated]


def _watch(folder: Path, file: Path) -> bool:
    """Says what workers told of, and whether they would have told."""
    planted, lines = noticed(folder / "planted"), seen(file)
    found = executions(lines)
    made = len(lines) - len(found)
    print(f"Executed in workers: {len(found)}; code that sympy makes of the number of variables: {made}")
    print(f"Planted executions that the watch noticed: {len(planted)} of {len(Careless.ways)}")
    for one in found[:10]:
        print(f"{one.event} of {one.code} for {one.answer!r}")
    return not found and len(planted) == len(Careless.ways)


def _hostile(judges: Sequence[Any], python: Any) -> bool:
    good = True
    print("\n| hostile answer | grader | outcome | seconds |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, ScoringPool() as pool:
        canary, victim, told = (Path(folder) / name for name in ("canary", "victim", "told"))
        victim.write_text("safe")
        watched = [Watched(judge, told) for judge in judges]
        cases = [(n, j, t) for n, t in fill(HOSTILE, canary, victim).items() for j in watched]
        cases += [(n, python, t) for n, t in fill(PROGRAMS, canary, victim).items()]
        for name, judge, text in cases:
            start = time.perf_counter()
            (verdict,) = pool.judge(jobs(judge, [(r"2\sqrt{3}" if judge.name == "math" else "7", text)]))
            seconds = time.perf_counter() - start
            print(f"| {name} | {judge.name} | {verdict.outcome} | {seconds:.2f} |")
            good &= verdict.outcome in ("wrong", "error", "timeout") and seconds < 30
        healthy = pool.judge(jobs(judges[0], [("7", "7")]))
        good &= healthy == [Verdict("right", 1.0)]
        touched = canary.exists() or victim.read_text() != "safe"
        good &= not touched
        print(f"\nPool afterwards: {healthy[0].outcome}; workers replaced: {pool.restarts}; files touched: {touched}")
        good &= _watch(Path(folder), told)
    left = [p.cmdline() for p in psutil.Process().children(recursive=True)]
    print(f"Processes left: {len(left)}")
    return good and not left


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="Graders: acceptance, rejection, speed, hostile answers.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the files of right answers")
    options = parser.parse_args()
    numeric, math = grader("numeric"), grader("math")
    python = grader("python", runs_model_code=True)
    print("Graders: " + "; ".join(label(judge) for judge in (numeric, math, python)) + "\n")
    good = [_data(options.data, (numeric, math)), _speed(options.data, numeric, math)]
    good.append(_hostile((numeric, math, grader("exact")), python))
    print(f"\nTargets {'met' if all(good) else 'MISSED'}: answers {good[0]}, speed {good[1]}, hostile {good[2]}")
    raise SystemExit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
