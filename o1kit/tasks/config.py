"""Recipe sections that say where problems come from (no torch, no generator is imported here)."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from o1kit.config import Config, Count, FilePath, Positive
from o1kit.kinds import Kinds
from o1kit.tasks.graders.config import ExactConfig, GraderConfig


def _valid_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_valid_pattern)]
"""A regular expression."""


class SourceSection(Config):
    """What all sources of problems have in common."""

    match: Pattern | None = None
    """Keep only the problems whose text this regular expression finds something in."""
    weight: Positive = 1.0
    """Share of the split drawn from this source, relative to the others."""


class ReasoningGymConfig(SourceSection):
    """Problems made by one of reasoning_gym's generators, judged by its own scorer."""

    kind: Literal["reasoning_gym"]
    """Selects this source."""
    generator: str
    """Name of a reasoning_gym dataset, for example `chain_sum`."""
    params: dict[str, Any] = {}
    """Options of that generator: names and types are checked with the recipe, the rest by itself before a run."""
    teacher: str | None = None
    """Program that writes the chains of thought; by default the one registered under the generator's name."""


class JsonlConfig(SourceSection):
    """Problems read from a JSON-lines file, judged by a grader of your choice."""

    kind: Literal["jsonl"]
    """Selects this source."""
    path: FilePath
    """File to read, relative to the recipe."""
    question_field: str = "question"
    """Key that holds the problem's text."""
    answer_field: str = "answer"
    """Key that holds the final answer (text after the last `####` if present)."""
    thought_field: str | None = None
    """Key that holds a chain of thought to learn from; steps are its lines."""
    grader: GraderConfig = ExactConfig.model_construct(kind="exact")
    """What decides whether an answer is right."""


SourceConfig = Annotated[ReasoningGymConfig | JsonlConfig, Kinds("tasks")]


class SplitConfig(Config):
    """A set of problems. No prompt is ever in two splits: `train` gives way to the others."""

    num_problems: Count
    """How many different problems the split holds."""
    sources: list[SourceConfig] = Field(min_length=1)
    """Where they come from."""
