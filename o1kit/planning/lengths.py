"""`Lengths`: how many tokens prompts and chains have. Measured by a probe, else guessed on the long side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from o1kit.models.config import ScratchModelConfig
from o1kit.recipe.schema import Recipe
from o1kit.tasks.config import JsonlConfig, SplitConfig

PROMPT_SHARE, CHAIN_SHARE = 0.25, 0.4
"""Without anything measured: parts of the context that prompt and chain take on average..."""
MOST_PROMPT, MOST_CHAIN = 200, 500
"""...but no more tokens than these."""
CHARACTERS = 3.5
"""Characters of a token of a trained tokenizer, on the short side."""
STEP = 12.0
"""Tokens of a step."""
READ = 2000
"""Most rows of a file that are looked at."""
LINE = 1 << 20
OVERHANG = 1.3
"""Longest sampled chain, relative to the longest that was taught: some samples ramble."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of prompts and of chains; `steps` is the mean number of a chain's steps."""

    prompt: float
    prompt_max: int
    chain: float
    chain_max: int
    steps: float

    @property
    def row(self) -> float:
        """Mean length of prompt and chain together."""
        return self.prompt + self.chain

    def row_max(self, context: int) -> int:
        """Longest training row."""
        return min(context, self.prompt_max + self.chain_max)

    def sampled_max(self, context: int) -> int:
        """Longest sequence that sampling comes to."""
        return min(context, self.prompt_max + round(OVERHANG * self.chain_max))


def guessed(recipe: Recipe, context: int, directory: Path) -> dict[str, Lengths]:
    """The lengths of each split: from the texts of its file if all of them are in one, else from the context."""
    return {name: _split(recipe, split, context, directory) for name, split in recipe.tasks.items()}


def _split(recipe: Recipe, split: SplitConfig, context: int, directory: Path) -> Lengths:
    prompt, chain = min(PROMPT_SHARE * context, MOST_PROMPT), min(CHAIN_SHARE * context, MOST_CHAIN)
    if all(isinstance(source, JsonlConfig) for source in split.sources):
        size = 1.0 if isinstance(recipe.model, ScratchModelConfig) else CHARACTERS
        texts = [pair for s in split.sources if isinstance(s, JsonlConfig) for pair in _texts(s, directory)]
        if texts:
            prompts, chains = [len(q) / size + 1 for q, _ in texts], [len(c) / size + 2 for _, c in texts]
            if any(isinstance(s, JsonlConfig) and s.thought_field for s in split.sources):
                chain = sum(chains) / len(chains)
            longest = max(max(chains), chain)
            found = sum(prompts) / len(prompts), int(max(prompts)), chain, int(longest), max(1.0, chain / STEP)
            return Lengths(*found)
    return Lengths(prompt, round(1.5 * prompt), chain, round(1.5 * chain), max(1.0, chain / STEP))


def _texts(source: JsonlConfig, directory: Path) -> Iterator[tuple[str, str]]:
    """Question and thought of the first rows of a file; nothing of one that cannot be read."""
    with suppress(OSError, ValueError), (directory / source.path).open(encoding="utf-8") as stream:
        for line in islice(iter(lambda: stream.readline(LINE), ""), READ):
            row = json.loads(line)
            if isinstance(row, dict):
                thought = row.get(source.thought_field or "", "")
                text = "\n".join(map(str, thought)) if isinstance(thought, list) else str(thought)
                yield str(row.get(source.question_field, "")), f"{text}\n{row.get(source.answer_field, '')}"


def as_lengths(data: object) -> dict[str, Lengths]:
    """What `dataclasses.asdict` made of lengths by split; empty if it is anything else."""
    found = {}
    with suppress(TypeError, ValueError, KeyError):
        assert isinstance(data, Mapping)
        for name, x in data.items():
            values = float(x["prompt"]), int(x["prompt_max"]), float(x["chain"]), int(x["chain_max"]), float(x["steps"])
            found[str(name)] = Lengths(*values)
    return found
