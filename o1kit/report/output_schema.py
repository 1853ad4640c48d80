"""What a file of an evaluation's outputs holds, line by line (`docs/results.md` explains it)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, RootModel, model_validator

from o1kit.config import Config, Probability

Whole = Annotated[int, Field(ge=0)]
Outcome = Literal["right", "wrong", "no_answer", "error", "timeout"]


class HeaderLine(Config):
    """The first line: where the outputs come from."""

    kind: Literal["header"] = "header"
    """Tells the lines apart."""
    format: Literal[1] = 1
    """Version of this format."""
    o1kit: str
    """Version that wrote the file."""
    recipe_hash: str
    """Hash of all in the recipe that the stage was computed from."""
    recipe_directory: str
    """Folder that relative paths in the recipe start from."""
    stage: str
    """Name of the stage."""
    seed: Whole
    """Seed of the stage."""
    graders: dict[str, str] = {}
    """What judged the answers of each task, with its version."""


class ProblemLine(Config):
    """A problem, before its chains. The right answer is in no line."""

    kind: Literal["problem"] = "problem"
    """Tells the lines apart."""
    id: str
    """Its name, which is the same for the same recipe."""
    split: str
    """Split it is from."""
    task: str
    """Its kind."""
    prompt: str
    """Its text."""


class ChainLine(Config):
    """A finished chain of thought, before the outputs that it is part of: once, however many searches share it."""

    kind: Literal["chain"] = "chain"
    """Tells the lines apart."""
    id: str
    """Hash of its problem, its tokens and why it ended."""
    problem: str
    """Its problem's id."""
    text: str
    """What was sampled, prompt and end-of-text left out."""
    answer: str | None = None
    """The final answer it states."""
    tokens: Whole
    """Its length in tokens."""
    finish: str
    """Why it ended: `answer`, or cut off by `length` or `context`; `step` for a chain that was given up."""

    @property
    def truncated(self) -> bool:
        """True when there was no more room."""
        return self.finish in ("length", "context")


class OutputLine(Config):
    """What one search answered to one problem with one seed, and what became of it."""

    kind: Literal["output"] = "output"
    """Tells the lines apart."""
    policy: str
    """Stage whose model answered; `model` is the recipe's own."""
    search: str
    """What tables call the search; plain samples are `pass@1`."""
    split: str
    """Split of the problem."""
    place: Whole = 0
    """Number of the search in the recipe's list, from 0 on."""
    seed: Whole = 0
    """Which of the evaluation's seeds, from 0 on."""
    key: Whole
    """Key of the search: with the same one it answers the same."""
    problem: str
    """Problem's id."""
    chains: list[str]
    """Ids of the chains that the search finished."""
    scores: list[float | None] = []
    """What judged them said of each; empty where nothing did."""
    answers: list[str | None]
    """The answers that were graded: one for a search that decides, one a chain for plain samples."""
    chosen: str | None = None
    """The one answer of a search that decides; null for plain samples, or if it found none."""
    outcomes: list[Outcome]
    """What the grader said of each answer."""
    marks: list[Probability]
    """What each answer counts."""
    generated: Whole
    """Tokens that were sampled for it, whatever was shared with other searches."""
    scored: Whole = 0
    """Tokens that a reward model read for it."""
    stats: dict[str, float] = {}
    """What the search tells about itself."""
    oracle: bool = False
    """True when the search looked at the ground truth."""

    @model_validator(mode="after")
    def _one_verdict_an_answer(self) -> Self:
        if not len(self.answers) == len(self.outcomes) == len(self.marks):
            raise ValueError(f"{len(self.answers)} answers, {len(self.outcomes)} outcomes, {len(self.marks)} marks")
        if self.scores and len(self.scores) != len(self.chains):
            raise ValueError(f"{len(self.scores)} scores for {len(self.chains)} chains")
        return self


AnyLine = Annotated[HeaderLine | ProblemLine | ChainLine | OutputLine, Field(discriminator="kind")]


class OutputFile(RootModel[AnyLine]):
    """One line of a file of outputs: first the header, then problems, chains, and what the searches answered."""
