"""The prompts of self-refinement: texts with places for the problem and for what models wrote about it."""

from __future__ import annotations

CRITIQUE = """\
Problem:
{problem}

An answer to it:
{answer}

Examine this answer strictly. Go through it step by step, check every calculation and every claim against the problem, \
and name each mistake, gap or unclear step and how to repair it. Do not write a new answer."""

REWRITE = """\
Problem:
{problem}

An earlier answer:
{answer}

What a strict reviewer says about it:
{critique}

Solve the problem again with this review in mind: keep what was right, repair what was wrong, and reason step by step. \
State the final answer at the end after the words "The answer is"."""

SCORE = """\
Problem:
{problem}

An answer to it:
{answer}

You are a strict examiner. Look for every flaw in this answer and take marks off for each; be harsh, and never give \
full marks. Name the flaws in a few words. Then end with a line of exactly this form, with a whole number from -100 \
(worthless) to 100 (beyond any doubt) in place of N:
[Score] N"""
