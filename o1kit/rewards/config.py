"""Recipe sections of everything that judges chains: a stage's `judge`, and what PPO pays its policy for."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from o1kit.config import COUNT, NUMBER, SHARE, TOKENS, Config, Count, CountOrZero, Late, Positive, StageName, Tokens
from o1kit.functional.arithmetic import Form
from o1kit.functional.prompts import with_places
from o1kit.kinds import Kinds
from o1kit.models.config import JudgeServersConfig
from o1kit.reference import Reference
from o1kit.rewards.prompts import CRITIQUE, PRINCIPLE, RUBRIC
from o1kit.search.section import TOP_TOKENS
from o1kit.search.self_refine.config import SelfScoreConfig

Level = Literal["step", "outcome"]
"""Judges the chain after every step; or the chain as a whole, so that each of its steps is worth what it is worth."""
Words = Annotated[str, Field(min_length=1, max_length=40)]


class RewardSection(Config):
    """What all rewards have in common."""

    weight: Positive = 1.0
    """Factor in a mixture: of the mean where it judges a search, of the sum where PPO pays it."""

    def references(self) -> Sequence[Reference]:
        """For rewards of plugins: the earlier stages that the section names, besides the `model` of a base class."""
        return ()


class TrainedSection(RewardSection):
    """A reward model that a stage trained."""

    model: StageName
    """The `prm` stage that trained it."""


class AskedSection(RewardSection):
    """A language model that is asked."""

    model: StageName | None = None
    """Stage whose model is asked, or `model` for the recipe's own; null: the policy itself."""
    engine: Annotated[JudgeServersConfig | None, Late()] = None
    """Servers that hold the asked model; null: it is in this process, and the policy itself is where it samples."""
    level: Level = "outcome"
    """`outcome`: each chain is judged once, as far as it has come; `step`: a chain's every beginning is, at the cost of
    a judgement a step."""

    @model_validator(mode="after")
    def _one_tokenizer(self) -> Self:
        if self.model is not None and self.engine is not None and self.engine.tokenizer is not None:
            raise ValueError("`model` and `engine.tokenizer` both say which tokenizer the servers have: remove one")
        return self


class VerifierConfig(RewardSection):
    """1 at the end of a chain whose answer the task's own scorer accepts, else 0. It uses the ground truth.

    PPO may be paid by it. A search that it judges is graded by what guided it, and is called `oracle` in every table.
    """

    kind: Literal["verifier"]
    """Selects this reward."""


class PrmRewardConfig(TrainedSection):
    """A process reward model: the probability, after each step, that the chain ends well.

    PPO pays its change from step to step (a potential, so its sum telescopes).
    """

    kind: Literal["prm"]
    """Selects this reward."""


class OrmRewardConfig(TrainedSection):
    """An outcome reward model: the probability that a chain is right, read at its last token.

    Each step of a chain is worth what the chain is. PPO pays it at the end of the chain.
    """

    kind: Literal["orm"]
    """Selects this reward."""


class PairwiseRewardConfig(TrainedSection):
    """A pairwise reward model (LLaMA-Berry, arXiv 2410.02884): which of two chains of a problem is better.

    Best-of-N ranks its samples by the Enhanced Borda Count and `sr_mcts` its answers. Elsewhere a chain is worth its
    mean probability to win against anchors, chains that the policy samples for the purpose; a model that is read off a
    head needs none: there it is the sigmoid of the head's number. PPO pays it at the end of the chain.
    """

    kind: Literal["pairwise"]
    """Selects this reward."""
    anchors: Count = 4
    """Chains sampled for each problem that others are compared with; their tokens count as those of the judge."""
    temperature: Positive = 1.0
    """Divides the logits where anchors are sampled."""


class ConfidenceConfig(RewardSection):
    """The policy's own confidence in the tokens that it drew (Marco-o1, arXiv 2411.14405). It costs no forward pass.

    It knows nothing of the truth. As PPO's only reward it teaches the policy to be sure, not to be right: a policy that
    is paid for its own confidence collapses onto few tokens. Mix it with a verifier, at a small weight.
    """

    kind: Literal["confidence"]
    """Selects this reward."""
    top: Annotated[int, Field(ge=2, le=100), TOKENS] = TOP_TOKENS
    """Likeliest tokens that a token's probability is compared with."""


class ValueHeadConfig(RewardSection):
    """The policy's own value head, which PPO trains. As PPO's reward it would be paid for its own expectations."""

    kind: Literal["value_head"]
    """Selects this reward."""


class LikelihoodConfig(RewardSection):
    """How probable a chain is to the language model of another stage: a step reward without step labels.

    A stronger model than the policy finds the policy's slips improbable. It learns nothing of the answer, so it rewards
    what it would have written itself. Costs a pass over the chain, as a reward model does; nothing is sampled.
    """

    kind: Literal["likelihood"]
    """Selects this reward."""
    model: StageName
    """Stage whose model is read, or `model` for the recipe's own; with another tokenizer it reads the text anew."""
    tokens: Literal["least", "geometric_mean", "product"] = "least"
    """What counts of the probabilities of a chain's tokens so far: the least of them, which a single slip decides,
    their geometric mean, or their product."""


def _form(text: str) -> str:
    Form(text)
    return text


class CalculatorConfig(RewardSection):
    """The arithmetic that a chain states, computed anew: 1 while all equations are true, less with each false one.

    Asks no model and knows no answer: a chain may compute the wrong thing rightly, so mix it with what knows more.
    """

    kind: Literal["calculator"]
    """Selects this reward."""
    forms: list[Annotated[str, AfterValidator(_form)]] = []
    """How lines state equations, where it is not `12 + 30 = 42`: texts with {left} and {right}, arithmetic each, and
    `*` for anything, as `{left} makes {right}*`. Where several fit a line the first counts. Empty: any `... = ...` of
    numbers."""
    factor: Annotated[float, Field(ge=0.0, lt=1.0), SHARE] = 0.5
    """What a chain is worth is multiplied by it with each false equation."""


class SelfScoreRewardConfig(AskedSection, SelfScoreConfig):
    """A language model marks chains from -100 to 100 under MCTSr's constraints (arXiv 2406.07394), scaled to [0, 1]."""

    kind: Literal["self_score"]
    """Selects this reward."""
    samples: Count = 1
    """Marks of each chain. It is worth the mean of their mean and the worst of them, MCTSr's Q."""
    temperature: Positive = 0.95
    """Divides the logits. 0.95 is that of MCTSr's code."""


class LabelReplyConfig(Config):
    """The reply begins with one of two words; read from the probabilities of the next token, so one token is enough."""

    kind: Literal["labels"]
    """Selects this way of reading."""
    good: Words = "Yes"
    """What speaks for the chain."""
    bad: Words = "No"
    """What speaks against it."""
    alternatives: Tokens = 20
    """Among how many of the likeliest next tokens they are looked for; no more than a server reports."""

    @model_validator(mode="after")
    def _two_words(self) -> Self:
        if self.good[:1].casefold() == self.bad[:1].casefold():
            raise ValueError("`good` and `bad` begin alike: a token could be the beginning of both. Use other words")
        return self


class NumberReplyConfig(Config):
    """The reply ends with a number, as `Score: 7`. The rubric must ask for that line."""

    kind: Literal["number"]
    """Selects this way of reading."""
    low: Annotated[float, Field(ge=-999, le=999), NUMBER] = 0.0
    """The number that is worth 0."""
    high: Annotated[float, Field(ge=-999, le=999), NUMBER] = 10.0
    """The number that is worth 1."""
    samples: Count = 1
    """Replies sampled for each chain; it is worth their mean."""
    temperature: Positive = 1.0
    """Divides the logits."""
    max_tokens: Tokens = 512
    """Longest reply, in tokens."""
    retries: Annotated[int, Field(ge=0, le=20), COUNT] = 2
    """Further replies sampled where one holds no number of the scale; after that the judgement has failed."""

    @model_validator(mode="after")
    def _a_scale(self) -> Self:
        if self.low >= self.high:
            raise ValueError("`low` must be less than `high`: it is the number that is worth 0")
        return self


class JudgeRewardConfig(AskedSection):
    """A language model judges a chain by a written rubric."""

    kind: Literal["judge"]
    """Selects this reward."""
    rubric: Annotated[str, AfterValidator(with_places("problem", "chain"))] = RUBRIC
    """What is asked, with {problem} and {chain}: the chain so far."""
    reply: Annotated[LabelReplyConfig | NumberReplyConfig, Field(discriminator="kind")] = LabelReplyConfig(
        kind="labels"
    )
    """How the reply is read."""


class ConstitutionConfig(AskedSection):
    """Principles, each asked about (Bai et al. 2022, arXiv 2212.08073): the mean probability that one is kept."""

    kind: Literal["constitution"]
    """Selects this reward."""
    principles: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    """What chains should keep to, each a sentence."""
    prompt: Annotated[str, AfterValidator(with_places("problem", "chain", "principle", "critique"))] = PRINCIPLE
    """Asks whether a principle is kept, Yes or No, with {problem}, {chain}, {principle} and {critique}."""
    critique_prompt: Annotated[str, AfterValidator(with_places("problem", "chain", "principle"))] = CRITIQUE
    """Asks for the critique, with {problem}, {chain} and {principle}."""
    critique_tokens: Annotated[CountOrZero, TOKENS] = 0
    """Longest critique, in tokens, that the model writes on each principle before it is asked; 0: it writes none."""
    alternatives: Tokens = 20
    """Among how many of the likeliest next tokens Yes and No are looked for; no more than a server reports."""
    pays: Literal["reward", "penalty"] = "reward"
    """What PPO pays at the end of a chain: the share of the principles kept, or minus the share of those broken."""

    @field_validator("principles")
    @classmethod
    def _differ(cls, principles: list[str]) -> list[str]:
        if len(set(principles)) < len(principles):
            raise ValueError("a principle is listed twice, and would count twice: remove one")
        return principles

    @model_validator(mode="after")
    def _critique_is_written(self) -> Self:
        if self.critique_tokens == 0 and self.critique_prompt != CRITIQUE:
            raise ValueError("`critique_prompt` is never used while `critique_tokens` is 0: set that too")
        return self


Part = (
    VerifierConfig
    | PrmRewardConfig
    | OrmRewardConfig
    | PairwiseRewardConfig
    | ConfidenceConfig
    | ValueHeadConfig
    | LikelihoodConfig
    | CalculatorConfig
    | SelfScoreRewardConfig
    | JudgeRewardConfig
    | ConstitutionConfig
)


class MixtureConfig(Config):
    """Several rewards: their weighted mean where they judge a search, their weighted sum where PPO pays them.

    One that fails makes the whole judgement fail.
    """

    kind: Literal["mixture"]
    """Selects this reward."""
    of: list[Annotated[Part, Kinds("rewards")]] = Field(min_length=1)
    """The rewards."""


RewardConfig = Annotated[Part | MixtureConfig, Kinds("rewards")]
"""What PPO pays."""
JudgeConfig = Annotated[StageName | Part | MixtureConfig, Kinds("rewards")]
"""What judges steps inside searches: the name of a `prm` stage, or a section."""


def parts(config: Part | MixtureConfig) -> list[Part]:
    """The rewards that a section is made of."""
    return list(config.of) if isinstance(config, MixtureConfig) else [config]
