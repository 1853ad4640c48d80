"""Writes doubled_letters.jsonl: `python recipes/data/doubled_letters.py`.

Letters that stand twice in a row are rare in reasoning_gym's letter-counting text, and a small model skips one of them.
The rows ask for such a letter in single words of reasoning_gym's word list; in half of them it occurs elsewhere in the
word too. "strawberry", which the quickstart asks at its end, is left out with all words that hold it.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

from reasoning_gym.data import read_data_file

from o1kit.tasks.teachers.letter_counting import LetterCountingTeacher
from o1kit.types import GroundTruth

ROWS = 2600


def row(word: str, letter: str) -> dict[str, str]:
    """One problem with its chain of thought, as the teacher writes it."""
    metadata = {"target_letter": letter, "span": [word]}
    steps = LetterCountingTeacher().trace(GroundTruth("", "", {"metadata": metadata}), "", [], 0)
    question = f'How many times does the letter "{letter}" appear in the text: "{word}"?'
    return {"question": question, "thought": "".join(steps), "answer": str(word.count(letter))}


def main() -> None:
    """Writes the file."""
    words = sorted({w for w in read_data_file("words3to10.txt").split() if w.isascii() and w.islower()})
    pairs = [(w, m[1]) for w in words if "strawberry" not in w for m in re.finditer(r"(.)\1", w)]
    random.Random(0).shuffle(pairs)
    more = [(w, letter) for w, letter in pairs if w.count(letter) > 2][: ROWS // 2]
    only = [(w, letter) for w, letter in pairs if w.count(letter) == 2][: ROWS // 2]
    rows = [row(*pair) for both in zip(more, only, strict=True) for pair in both]
    Path(__file__).with_suffix(".jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


if __name__ == "__main__":
    main()
