"""Chains of thought that a file brings, and the file that the quickstart brings."""

from __future__ import annotations

import json
import re
from pathlib import Path

from o1kit.stages.sft.data import told

ROWS = Path(__file__).parents[2] / "recipes" / "data" / "doubled_letters.jsonl"


def test_the_answer_follows_the_steps_unless_the_last_one_states_it() -> None:
    assert told(["1 + 1 = 2"], "2") == ["1 + 1 = 2\n", "The answer is 2"]
    assert told(["1 + 1 = 2", "So the answer is 2"], "2") == ["1 + 1 = 2\n", "So the answer is 2"]
    assert told(["The answer is 3"], "2") == ["The answer is 3\n", "The answer is 2"]
    assert told([], "2") == ["The answer is 2"]


def test_the_doubled_letters_are_counted_right_and_the_asked_word_is_not_among_them() -> None:
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    assert len(rows) == 2600
    for row in rows:
        letter, word = re.findall(r'"(.+?)"', row["question"])
        assert letter * 2 in word
        assert "strawberry" not in word
        assert row["answer"] == str(word.count(letter))
        chain, last = row["thought"].split("\n")
        assert last == f"So the answer is {row['answer']}"
        assert re.sub(r"\(\d+\)", "", chain) == f"{word}={row['answer']} ok"
        assert re.findall(rf"{letter}\((\d+)\)", chain) == [str(n + 1) for n in range(word.count(letter))]
