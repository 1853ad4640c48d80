"""What files of step labels and of preference pairs hold, field by field (`docs/labels.md` explains them)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from o1kit.config import Config, NonNegative, Probability

Whole = Annotated[int, Field(ge=0, lt=2**64)]
LogProb = Annotated[float, Field(le=0.0)]


class Provenance(Config):
    """Where labels come from: without it, numbers of two reward models cannot be compared."""

    source: str
    """What made them: `monte_carlo`, `omega`, `tree`, `judge`, `revision`, `consensus`, or an imported format."""
    policy: str = ""
    """Fingerprint of the stage whose model wrote the chains and their completions, or a hash of the recipe's own model;
    empty if unknown."""
    completions: Whole = 0
    """Completions sampled for each label; 0 where none were."""
    temperature: NonNegative = 0.0
    """At which chains and completions were sampled; 0 if unknown."""
    estimate: str = ""
    """How a label follows from its evidence, for example `soft` or `hard`."""
    judge: str = ""
    """Fingerprint of the model that judged, where one did."""
    seed: Whole | None = None
    """Seed of the stage that made them."""


class LabelRecord(Config):
    """A chain with labels at the ends of its steps."""

    format: Literal[1] = 1
    """Version of this format."""
    problem: str
    """Name of the problem; chains of one problem are never split between training and measuring."""
    prompt: str
    """The problem's text."""
    steps: list[str] = Field(min_length=1)
    """The chain, step by step, each with its delimiter."""
    labels: list[Probability | None]
    """One a step: the chance that the chain still ends right, or 0 and 1; null where nothing is known."""
    correct: bool | None = None
    """Whether the final answer is right; null for an unfinished chain, or where nobody asked or could say."""
    prompt_ids: list[Whole] = []
    """The prompt as the policy read it, in tokens; empty for text from elsewhere."""
    step_ids: list[list[Whole]] = []
    """The steps as they were sampled, in tokens; empty for text from elsewhere."""
    step_logprobs: list[list[LogProb | None]] = []
    """The policy's untempered log-probability of each of these tokens, in nats; null for one that a search put in."""
    revised: list[str] = []
    """The steps of the chain that this one is a revision of; empty for any other."""
    revised_ids: list[list[Whole]] = []
    """The same in tokens, where they are known."""
    tokens: Whole = 0
    """Tokens generated for this record and for no other one, so that a file's sum is what its records cost."""
    provenance: Provenance
    """Where the labels come from."""

    @model_validator(mode="after")
    def _one_label_a_step(self) -> Self:
        if len(self.labels) != len(self.steps):
            raise ValueError(f"{len(self.labels)} labels for {len(self.steps)} steps")
        # Sampled steps may have no text but for end-of-text; one without tokens could be read nowhere of its own.
        if not all(self.step_ids or self.steps):
            raise ValueError("a step is empty: join it with the one before it")
        if self.step_ids and len(self.step_ids) != len(self.steps):
            raise ValueError(f"{len(self.step_ids)} lists of tokens for {len(self.steps)} steps")
        if self.step_logprobs and list(map(len, self.step_logprobs)) != list(map(len, self.step_ids)):
            raise ValueError("`step_logprobs` must hold a number, or null, for every token of `step_ids`")
        return self


class PairRecord(Config):
    """Two chains of one problem, one of them better."""

    format: Literal[1] = 1
    """Version of this format."""
    problem: str
    """Name of the problem."""
    prompt: str
    """The problem's text."""
    chosen: list[str] = Field(min_length=1)
    """The steps of the better chain."""
    rejected: list[str] = Field(min_length=1)
    """The steps of the other."""
    prompt_ids: list[Whole] = []
    """The prompt in tokens, as the policy read it; empty for text from elsewhere."""
    chosen_ids: list[Whole] = []
    """The better chain in tokens, as sampled."""
    rejected_ids: list[Whole] = []
    """The other in tokens."""
    shared: Whole = 0
    """Steps that both begin with."""
    shared_tokens: Whole = 0
    """Tokens of these steps, where there are tokens."""
    provenance: Provenance
    """Where the pair comes from."""

    @model_validator(mode="after")
    def _they_differ(self) -> Self:
        if self.chosen == self.rejected:
            raise ValueError("both chains are the same")
        if self.chosen[: self.shared] != self.rejected[: self.shared]:
            raise ValueError(f"the first {self.shared} steps are not the same")
        if self.chosen_ids[: self.shared_tokens] != self.rejected_ids[: self.shared_tokens]:
            raise ValueError(f"the first {self.shared_tokens} tokens are not the same")
        return self
