"""The prompts of language models that judge: texts with places for what they are asked about."""

RUBRIC = """\
Problem:
{problem}

A solution to it, which may not be finished yet:
{chain}

Is everything in this solution right so far, and does it lead to the right answer? Reply with one word, Yes or No."""

CRITIQUE = """\
Problem:
{problem}

A solution to it:
{chain}

The solution should keep to this principle: {principle}
Say in a few words where it does and where it does not."""

PRINCIPLE = """\
Problem:
{problem}

A solution to it:
{chain}

The solution should keep to this principle: {principle}
{critique}
Does the solution keep to the principle? Reply with one word, Yes or No."""
