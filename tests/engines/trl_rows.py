"""What TRL's own stepwise trainer makes of a few rows: `python -m tests.engines.trl_rows`, kept in trl_rows.json.

To be run where TRL still has `PRMTrainer`, as 0.24.0 has; the release that the tests are pinned to has none.
"""

from __future__ import annotations

import json
from typing import Any

from o1kit.models.tokenizer import build_char_tokenizer

ROWS: list[dict[str, Any]] = [
    {"prompt": "Which is larger?", "completions": ["11 > 8.", "So 9.11 > 9.8"], "labels": [True, False]},
    {"prompt": "2+2", "completions": ["4"], "labels": [True]},
    {"prompt": "x", "completions": ["abab", "b", "aab"], "labels": [True, True, False]},
]
SEPARATORS = ("\n", "#")
PHRASES = ("ab",)
"""A pair of letters that is one token, so that a token may hold more than a letter."""


def main() -> None:
    import trl

    tokenizer, whole = build_char_tokenizer(list(PHRASES)), dict.fromkeys(["max_length", "max_prompt_length"])
    found = {
        separator: [
            trl.PRMTrainer.tokenize_row(
                row,
                tokenizer,
                separator,
                max_completion_length=None,
                train_on_last_step_only=False,
                is_eval=False,
                **whole,
            )
            for row in ROWS
        ]
        for separator in SEPARATORS
    }
    print(json.dumps({"made by": f"trl {trl.__version__}, PRMTrainer.tokenize_row", "rows": found}))


if __name__ == "__main__":
    main()
