from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from o1kit.config import keep_secret
from o1kit.errors import DataError
from o1kit.tasks.config import JsonlConfig
from o1kit.tasks.graders.exact import normalise
from o1kit.tasks.jsonl import JsonlSource

GSM8K = Path(__file__).parents[2] / "../shared/data/gsm8k_test.jsonl"
GOOD = '{"question": "1+1?", "answer": "2"}'


def source(path: Path, **options: Any) -> JsonlSource:
    return JsonlSource(JsonlConfig(kind="jsonl", path=path.name, **options), path.parent)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "rows.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_rows_become_problems_in_order(tmp_path: Path) -> None:
    rows = [
        {"question": "a?", "answer": "work\n#### 1,234"},
        {"question": "b?", "answer": 5.0},
        {"question": "c\u2028?", "answer": "x #### y #### z", "extra": None},
    ]
    text = "\ufeff" + "\r\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    found = list(source(written(tmp_path, text)).generate(0, 10))
    assert [p.prompt for p, _ in found] == ["a?", "b?", "c\u2028?"]
    assert [t.answer for _, t in found] == ["1,234", "5.0", "z"]
    assert [p.id for p, _ in found] == ["rows/1", "rows/3", "rows/5"]
    assert "thought" not in found[0][1].payload


def test_fields_can_be_named_and_thoughts_kept(tmp_path: Path) -> None:
    rows = [
        {"q": "a?", "a": "first\n\nsecond\n#### 3"},
        {"q": "b?", "a": "4"},
    ]
    path = written(tmp_path, "\n".join(map(json.dumps, rows)))
    options = {"question_field": "q", "answer_field": "a", "thought_field": "a"}
    found = list(source(path, **options).generate(0, 10))
    assert [t.payload["thought"] for _, t in found] == [["first", "second"], ["4"]]
    listed = written(tmp_path, '{"question": "a?", "answer": "1", "steps": ["one", "two"]}')
    ((_, truth),) = source(listed, thought_field="steps").generate(0, 10)
    assert truth.payload["thought"] == ["one", "two"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no problems"),
        ("\n \n", "holds no problems"),
        (f"{GOOD}\n{{oops", r"rows.jsonl:2:2: not JSON"),
        (f"{GOOD}\n[1, 2]", r"rows.jsonl:2: a row must be a JSON object, not list"),
        (
            f'{GOOD}\n\n{{"questoin": "x", "answer": "1"}}',
            r"rows.jsonl:3: no field 'question'. Did you mean 'questoin'",
        ),
        ('{"question": "x"}', r"rows.jsonl:1: no field 'answer'"),
        ('{"question": "", "answer": "1"}', r"rows.jsonl:1: field 'question' must be"),
        ('{"question": "x", "answer": null}', r"rows.jsonl:1: field 'answer' must be"),
        ('{"question": "x", "answer": true}', r"rows.jsonl:1: field 'answer' must be"),
        ('{"question": "x", "answer": ["1"]}', r"rows.jsonl:1: field 'answer' must be"),
        ('{"question": "x", "answer": "work ####"}', r"rows.jsonl:1: nothing after the last ####"),
        (GOOD.encode() + b"\n" + '{"question": "é"'.encode("latin-1"), r"rows.jsonl:2: not UTF-8 at byte 15"),
        ('{"question": ' + "[" * 200_000, r"rows.jsonl:1: nested too deeply|rows.jsonl:1:\d+: not JSON"),
    ],
)
def test_bad_files_are_errors_with_their_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    bad = source(written(tmp_path, content))
    with pytest.raises(DataError, match=message):
        bad.check()
    with pytest.raises(DataError, match=message):
        list(bad.generate(0, 10))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.jsonl: cannot be read: No such file"):
        source(tmp_path / "none.jsonl").check()


def test_a_missing_or_odd_thought_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, '{"question": "x", "answer": "1", "steps": 3}')
    with pytest.raises(DataError, match=r":1: field 'steps' must be a text or a list"):
        source(path, thought_field="steps").check()
    with pytest.raises(DataError, match=r":1: no field 'step'. Did you mean 'steps'"):
        source(path, thought_field="step").check()


@pytest.mark.parametrize(
    ("left", "right"),
    [("1,234", "1234"), (" 42 ", "42"), ("42.0", "42"), ("42.", "42"), ("-3.00", "-3"), ("$18", "18"),
     ("Paris", "PARIS"), ("1,234,567.0", "1234567"), ("Straße", "STRASSE")],
)  # fmt: skip
def test_equal_answers(left: str, right: str) -> None:
    assert normalise(left) == normalise(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [("1.5", "15"), (".5", "5"), ("1,2", "12"), ("(1,2)", "(12)"), ("-3", "3"), ("1.05", "1"), ("10", "1"), ("", "0")],
)
def test_different_answers(left: str, right: str) -> None:
    assert normalise(left) != normalise(right)


def test_long_answers_are_compared_in_linear_time(tmp_path: Path) -> None:
    read = source(written(tmp_path, GOOD))
    ((_, truth),) = read.generate(0, 1)
    for answer in ("1," * 500_000, "[" * 1_000_000, "\0", "2\0", "0" * 1_000_000 + "."):
        assert read.grader.score(truth, answer) == 0.0
    assert read.grader.score(truth, None) == 0.0
    assert read.grader.score(truth, " 2.0 ") == 1.0


def test_a_name_from_the_environment_is_not_written_beside_every_answer(tmp_path: Path) -> None:
    (tmp_path / "secret.jsonl").write_text('{"question": "1+1", "answer": "2"}\n')
    config = JsonlConfig(kind="jsonl", path="secret.jsonl")
    keep_secret(config, {("path",): "${env:DATA}.jsonl"})
    ((problem, truth),) = JsonlSource(config, tmp_path).generate(0, 1)
    assert (problem.id, problem.task, truth.problem_id) == ("${env:DATA}/1", "${env:DATA}", "${env:DATA}/1")


@pytest.mark.skipif(not GSM8K.exists(), reason="the public benchmark data are not beside this checkout")
def test_real_gsm8k_rows_score_their_own_answers_right() -> None:
    read = source(GSM8K, thought_field="answer")
    found = list(read.generate(0, 10_000))
    assert len(found) == 1319
    for _, truth in found:
        assert truth.answer.replace(",", "").lstrip("-").replace(".", "").isdigit()
        assert read.grader.score(truth, truth.answer.replace(",", "") + ".0") == 1.0
        assert read.grader.score(truth, truth.answer + "1") == 0.0
        assert truth.payload["thought"]
