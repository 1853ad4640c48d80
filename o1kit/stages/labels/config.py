"""Recipe sections of label stages: where step labels come from."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from o1kit.config import (
    SHARE,
    TOKENS,
    Config,
    Count,
    CountOrZero,
    FilePath,
    NonNegative,
    Positive,
    Probability,
    StageName,
    Tokens,
)
from o1kit.decoding import Decoding
from o1kit.functional.prompts import with_places
from o1kit.stages.config import StageConfig

Estimate = Literal["hard", "soft"]
Format = Literal["o1kit", "prm800k", "math_shepherd", "openr", "trl"]
Neutral = Literal["good", "bad", "unknown"]
Share = Annotated[float, Field(gt=0.0, le=1.0), SHARE]
RUBRIC = """{problem}

A solution, so far:
{before}
The next step:
{step}
Is this step correct? Answer Yes or No:"""
CRITIQUE = """Problem:
{problem}

A solution to it:
{chain}

The solution should keep to this principle: {principle}
Say in a few words where it does and where it does not."""
REVISION = """Problem:
{problem}

A solution to it:
{chain}

It should keep to this principle: {principle}
{critique}
Write the solution anew, so that it does."""
CAN_HAVE_MARKS = {"math_shepherd", "openr"}


class MonteCarloLabelsConfig(Config):
    """Step labels from completions of the policy (Math-Shepherd, arXiv 2312.08935)."""

    kind: Literal["monte_carlo"]
    """Selects this source of labels."""
    num_problems: Count = 512
    """Training problems to label."""
    chains: Count = 4
    """Chains sampled for each problem."""
    completions: CountOrZero = 4
    """Completions sampled from each prefix (N); 0: only the ends of chains are labelled, by the verifier."""
    estimate: Estimate = "soft"
    """`soft`: share of completions that reach the right answer; `hard`: 1 if any does."""
    temperature: Positive = 1.0
    """Divides the logits while sampling."""

    @property
    def decoding(self) -> Decoding:
        """How chains and completions are drawn."""
        return Decoding(self.temperature)


class OmegaLabelsConfig(Config):
    """Step labels found by a tree search for first errors (OmegaPRM, arXiv 2406.06592).

    Of all wrong rollouts from prefixes that are sometimes completed rightly, the one with the largest Q + U is searched
    by halves for its first wrong step. Every prefix tried on the way gets `completions` rollouts of its own, a label
    from them, and its wrong rollouts wait to be searched too. Rollouts are records, with the verdict at their end.
    """

    kind: Literal["omega"]
    """Selects this source of labels."""
    num_problems: Count = 512
    """Training problems to label."""
    rollouts: Count = 16
    """Rollouts from the problem itself, before any search."""
    keep: Literal["mixed", "all"] = "mixed"
    """`mixed`: only problems whose first rollouts are neither all right nor all wrong leave records; `all`: the others
    too, with labels at the ends of chains."""
    completions: Count = 16
    """Rollouts from each prefix that is tried (k)."""
    draw: Literal["together", "until_right"] = "together"
    """`together`: all k at once; `until_right`: one after the other, and no more once one is right, which saves the
    tokens of the others. With `hard` the label is known then; with `passing` shares come out too high, but in order."""
    search: Literal["mixed", "all"] = "mixed"
    """`mixed`: only wrong rollouts of prefixes that others complete rightly; `all`: also those of a problem without a
    right rollout, which needs `keep: all`. The answer is then taken to be in reach of the policy."""
    num_iterations: Count = 20
    """Wrong rollouts that are searched for their first error, for each problem at most."""
    token_budget: Tokens | None = None
    """Begins no search once so many tokens have been generated for a problem; null: no such limit."""
    alpha: Share = 0.5
    """Q = alpha^(1 - MC) * beta^(length / L): how much prefixes that are often completed rightly come first."""
    beta: Share = 0.9
    """How much short rollouts come before long ones."""
    length: Annotated[Positive, TOKENS] = 500.0
    """L, the length in tokens that counts as long."""
    c_puct: NonNegative = 0.125
    """Weight of U = c_puct * sqrt(all visits) / (1 + visits): how much seldom searched prefixes come first."""
    estimate: Estimate = "soft"
    """`soft`: share of rollouts that reach the right answer; `hard`: 1 if any does."""
    labels: Literal["tried", "implied", "passing"] = "tried"
    """`tried`: only prefixes with rollouts of their own are labelled, and ends; `implied`: with `hard`, also those that
    a right chain goes through, which are good, and those after a first wrong step; `passing`: with `soft`, every prefix
    of a rollout, by the share of right ones among all that pass through it, wherever they began. Neither of the two
    needs tokens of its own."""
    temperature: Positive = 1.0
    """Divides the logits while sampling."""

    @model_validator(mode="after")
    def _options_belong_together(self) -> Self:
        stops = self.draw == "until_right" and self.labels == "tried"
        if self.estimate == "soft" and (self.labels == "implied" or stops):
            raise ValueError("a right chain says that a step can end right, not how often. Use `estimate: hard`")
        if self.estimate == "hard" and self.labels == "passing":
            raise ValueError("`passing` counts how many rollouts end right. Use `estimate: soft`")
        if self.search == "all" and self.keep == "mixed":
            raise ValueError("problems without a right rollout are searched, but leave no records. Use `keep: all`")
        return self

    @property
    def decoding(self) -> Decoding:
        """How rollouts are drawn."""
        return Decoding(self.temperature)


class TreeLabelsConfig(Config):
    """Step labels inferred from search trees whose finished chains were verified; nothing more is sampled."""

    kind: Literal["tree"]
    """Selects this source of labels."""
    of: StageName
    """The `rollout` stage whose trees are read; it searched with this stage's `policy`."""
    estimate: Literal["rest", "reach"] = "rest"
    """`rest`: V rises towards the nearest right end and falls on wrong branches (ReST-MCTS*, arXiv 2406.03816);
    `reach`: the share of right ends below a step, each weighted by its probability."""


class JudgeLabelsConfig(Config):
    """Step labels by asking the policy about each step: P(Yes) / (P(Yes) + P(No)); it never sees the right answer."""

    kind: Literal["judge"]
    """Selects this source of labels."""
    of: StageName
    """The `labels` stage whose chains are judged."""
    prompt: str = RUBRIC
    """The question; `{problem}`, `{before}` and `{step}` stand for the texts."""
    alternatives: Annotated[int, Field(ge=2, le=100), TOKENS] = 20
    """Likeliest next tokens among which Yes and No are looked for; a step where neither is gets no label."""
    estimate: Estimate = "soft"
    """`soft`: the share of Yes; `hard`: 1 if it is at least one half."""

    @field_validator("prompt")
    @classmethod
    def _has_its_places(cls, prompt: str) -> str:
        return with_places("problem", "before", "step")(prompt)

    @property
    def decoding(self) -> Decoding:
        """The likeliest next tokens."""
        return Decoding(greedy=True, alternatives=self.alternatives)


class RevisionLabelsConfig(Config):
    """Chains criticised by a principle and written anew by the policy (Constitutional AI, arXiv 2212.08073).

    A record is the revised chain, with the verifier's verdict at its end, and holds the chain it is a revision of:
    `pairs` with `source: {kind: revisions}` prefers the one to the other. Chains that do not change are left out.
    """

    kind: Literal["revision"]
    """Selects this source of labels."""
    of: StageName
    """The `labels` stage whose chains are revised."""
    principles: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    """What chains should keep to, each a sentence; each round draws one."""
    critique_prompt: Annotated[str, AfterValidator(with_places("problem", "chain", "principle"))] = CRITIQUE
    """Asks for the critique, with {problem}, {chain} and {principle}."""
    critique_tokens: Tokens = 128
    """Longest critique, in tokens."""
    revision_prompt: Annotated[str, AfterValidator(with_places("problem", "chain", "principle", "critique"))] = REVISION
    """Asks for the chain anew, with {problem}, {chain}, {principle} and {critique}."""
    rounds: Count = 1
    """How often a chain is criticised and revised."""
    temperature: Positive = 1.0
    """Divides the logits while sampling."""

    @property
    def decoding(self) -> Decoding:
        """How critiques and revisions are drawn."""
        return Decoding(self.temperature)


class ConsensusLabelsConfig(Config):
    """Hard labels of the steps on which two sources agree, up to the first disagreement (arXiv 2501.07301)."""

    kind: Literal["consensus"]
    """Selects this source of labels."""
    of: list[StageName] = Field(min_length=2, max_length=2)
    """Two `labels` stages that have labelled the same chains."""
    threshold: Probability = 0.5
    """A label of at least this is a good step."""

    @model_validator(mode="after")
    def _two_sources(self) -> Self:
        if self.of[0] == self.of[1]:
            raise ValueError("a source always agrees with itself. Name two different `labels` stages")
        return self


class FileLabelsConfig(Config):
    """Step labels from a file (docs/labels.md)."""

    kind: Literal["file"]
    """Selects this source of labels."""
    path: FilePath
    """JSON lines (`.jsonl`), a JSON list or object (`.json`) or Parquet (`.parquet`), from the recipe's folder on."""
    format: Format
    """What its rows are."""
    neutral: Neutral = "good"
    """With `prm800k`: what the rating 0 becomes, as `good` in Let's Verify Step by Step (arXiv 2305.20050)."""
    mark: str | None = Field(default=None, min_length=1)
    """With `math_shepherd` and `openr`: the text that ends a step; null: that of the published files."""

    @model_validator(mode="after")
    def _options_belong_to_formats(self) -> Self:
        if self.neutral != "good" and self.format != "prm800k":
            raise ValueError(f"only prm800k has neutral steps. Leave `neutral` out with {self.format}")
        if self.mark is not None and self.format not in CAN_HAVE_MARKS:
            raise ValueError(f"{self.format} has no marks between steps. Leave `mark` out")
        return self


SampledSource = Annotated[MonteCarloLabelsConfig | OmegaLabelsConfig, Field(discriminator="kind")]
"""Sources that need problems, a policy and a verifier only."""
LabelSource = Annotated[
    MonteCarloLabelsConfig
    | OmegaLabelsConfig
    | TreeLabelsConfig
    | JudgeLabelsConfig
    | RevisionLabelsConfig
    | ConsensusLabelsConfig
    | FileLabelsConfig,
    Field(discriminator="kind"),
]
WITHOUT_POLICY = (ConsensusLabelsConfig, FileLabelsConfig)
SAMPLED = (MonteCarloLabelsConfig, OmegaLabelsConfig)


class LabelsConfig(StageConfig):
    """Labels the steps of chains and writes them to `labels.jsonl` (docs/labels.md); nothing is trained."""

    kind: Literal["labels"]
    """Selects this stage."""
    policy: StageName | None = None
    """Stage whose model writes the chains, or judges them; `model` is the recipe's own, before any stage."""
    split: str = "train"
    """Split whose problems are labelled, by sources that sample."""
    source: LabelSource
    """Where the labels come from."""

    @model_validator(mode="after")
    def _the_source_needs_them(self) -> Self:
        kind = self.source.kind
        if isinstance(self.source, WITHOUT_POLICY) and self.policy is not None:
            raise ValueError(f"`{kind}` asks no model. Leave `policy` out")
        if not isinstance(self.source, WITHOUT_POLICY) and self.policy is None:
            raise ValueError(f"`{kind}` needs `policy`: the stage whose model it uses, or `model`")
        if not isinstance(self.source, SAMPLED) and self.split != "train":
            raise ValueError(f"`{kind}` takes its problems from elsewhere. Leave `split` out")
        return self
