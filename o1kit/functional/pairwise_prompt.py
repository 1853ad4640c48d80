"""What a pairwise reward model is asked, in training and at use: which of two answers is better (arXiv 2410.02884)."""

from __future__ import annotations

from o1kit.functional.prompts import fill

PREFERENCE = """\
Problem:
{problem}

First Answer:
{first}

Second Answer:
{second}

Is First Answer better than Second Answer? Reply with one word, Yes or No."""


def comparison_prompt(problem: str, first: str, second: str) -> str:
    """The question whether the first of two answers is the better one; the label is the next token, Yes or No.

    It goes through the prompt template as a problem's prompt does, and is read at its last token. The answers are given
    without the blanks around them.
    """
    return fill(PREFERENCE, problem=problem, first=first.strip(), second=second.strip())
