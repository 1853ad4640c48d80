"""What a fresh pair of eyes found in graders, readers and commands: each of these was wrong once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from o1kit.artifacts import fingerprint_of, write_atomic
from o1kit.cli import main
from o1kit.errors import DataError, EnvironmentFailure
from o1kit.functional.printable import printable
from o1kit.report.label_files import import_labels
from o1kit.report.results import read_results
from o1kit.report.tree import read_trees
from o1kit.tasks.config import JsonlConfig
from o1kit.tasks.graders.mathematics import _CHOICE
from o1kit.tasks.graders.numbers import find_number
from o1kit.tasks.jsonl import JsonlSource


@pytest.mark.parametrize(
    "row", ['{"question": "a", "answer": ' + "1" * 5000 + "}", '{"question": "a\\ud800", "answer": "1"}']
)
def test_numbers_without_end_and_half_characters_are_named(row: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(row)
    with pytest.raises(DataError, match=r"x\.jsonl:1"):
        JsonlSource(JsonlConfig(kind="jsonl", path="x.jsonl"), tmp_path).check()


def test_labels_with_half_a_character_are_no_json(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"problem": "p\ud800"}))
    with pytest.raises(DataError, match=r"x\.jsonl:1: is not JSON"):
        list(import_labels(tmp_path / "x.jsonl", "o1kit"))


@pytest.mark.parametrize("read", [lambda path: list(read_trees(path)), read_results])
def test_nesting_without_end_is_an_error(read: object, tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="deep"):
        read(tmp_path / "deep.json")  # type: ignore[operator]


def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(EnvironmentFailure, match="no regular file"):
        write_atomic(pipe, "x")
    assert pipe.is_fifo()


def test_a_page_of_blanks_is_searched_at_once() -> None:
    assert find_number("a" + " " * 20_000 + "b") is None  # two thousand took seven seconds, and these the cube of ten


@pytest.mark.parametrize("answer", ["a number", "A good answer is 7", "I do not know"])
def test_an_article_is_no_choice(answer: str) -> None:
    assert _CHOICE.fullmatch(answer) is None


@pytest.mark.parametrize("answer", ["B", "(B) 12", "B. 12", "option B", "The correct answer is B."])
def test_a_choice_is_one(answer: str) -> None:
    found = _CHOICE.fullmatch(answer)
    assert found is not None and found.group(1) == "B"


def test_weights_that_changed_in_place_have_another_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"12")
    before = fingerprint_of(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"13")
    assert fingerprint_of(tmp_path) != before


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config.json": '{"model_type": "llama"}', "reward.json": "{}"}, "holds a reward model"),
        ({"config.json": '{"kind": "labels"}'}, "holds no model. Name a stage's folder."),
        ({"sft/model.safetensors": ""}, "such as "),
    ],
)
def test_a_folder_without_a_policy_is_not_evaluated(
    files: dict[str, str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert main(["eval", str(tmp_path), "--tasks", "chain_sum"]) == 4
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("described", [True, False])
def test_a_folder_without_a_reward_model_judges_nothing(
    described: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("policy", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"model_type": "llama"}')
    if described:
        (tmp_path / "other" / "reward.json").write_text("{}")
    command = ["eval", str(tmp_path / "policy"), "--tasks", "chain_sum", "--search", "best_of_n:num_samples=2"]
    assert main([*command, "--judge", str(tmp_path / "other"), "--out", str(tmp_path / "out")]) == 4
    told = capsys.readouterr().err
    assert f"{tmp_path / 'other'}: holds no reward model: there is no head.safetensors in it" in told
    assert ("no reward.json" in told) != described
    assert not (tmp_path / "out").exists(), "nothing was begun"


@pytest.mark.slow
def test_a_model_that_is_not_here_is_not_looked_for_on_the_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "o1kit", "eval", "nobody/nothing-of-this-name", "--tasks", "chain_sum"]
    more = ["--num-problems", "2", "--out", str(tmp_path / "out"), "--plain"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=90)
    assert done.returncode == 3, done.stderr
    assert "cannot load" in done.stderr
    assert "Retrying" not in done.stderr and "Traceback" not in done.stderr


def test_control_characters_are_written_out() -> None:
    assert printable("a\x1b]0;title\x07\n\x1b[2Jé") == "a\\x1b]0;title\\x07\n\\x1b[2Jé"
