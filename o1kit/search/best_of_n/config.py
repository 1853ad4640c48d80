"""Recipe section of Best-of-N."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from o1kit.config import COUNT, SHARE, Config, Count, Positive, StageName
from o1kit.search.section import Aggregate, Judge, JudgedConfig, named, titled

SLOT = "{problem}"
"""Stands for the problem's own prompt in a prompt of `diversity`."""


class CertainConfig(Config):
    """Stops when the samples left can not change the answer: it is that of all `num_samples`, for less.

    With `majority` the leader is ahead by more votes than are left; with `weighted` by more than they could weigh if
    the reward gave each its highest score, 1; with `best` an answer has that score, which a learned reward hardly
    ever gives.
    """

    kind: Literal["certain"]
    """Selects this rule."""
    batch: Count = 1
    """Samples drawn at a time, before looking again."""

    @property
    def rounds(self) -> tuple[int, int]:
        """Samples in the first round, and in each one after it."""
        return self.batch, self.batch

    @property
    def title(self) -> str:
        """For example `certain`."""
        return "certain" + (f" by {self.batch}" if self.batch > 1 else "")


class WindowConfig(Config):
    """Stops when the latest samples agree (early-stopping self-consistency, Li et al. 2024, arXiv 2401.10480)."""

    kind: Literal["window"]
    """Selects this rule."""
    size: Annotated[int, COUNT] = Field(default=5, ge=2)
    """Samples in a window; windows follow one another and do not overlap."""
    agreement: Annotated[float, SHARE] = Field(default=1.0, gt=0.5, le=1.0)
    """Share of a window's votes (with `weighted`: of their weight) that one answer must have; 1: all, as in the paper.

    A sample without an answer agrees with none.
    """

    @property
    def rounds(self) -> tuple[int, int]:
        """A window each."""
        return self.size, self.size

    @property
    def title(self) -> str:
        """For example `window 5`, or `window 5 at 0.8`."""
        return f"window {self.size}" + (f" at {self.agreement:g}" if self.agreement < 1 else "")


class PosteriorConfig(Config):
    """Stops when the lead is hardly chance (Adaptive-Consistency, Aggarwal et al. 2023, arXiv 2305.11860).

    The leader's share of the votes that it and the runner-up have is Beta(v1 + 1, v2 + 1) distributed; sampling ends
    when more than 1/2 of it is likely enough. With `weighted` the votes are sums of scores.
    """

    kind: Literal["posterior"]
    """Selects this rule."""
    confidence: Annotated[float, SHARE] = Field(default=0.95, gt=0.5, lt=1.0)
    """Probability that the leading answer is likelier than the runner-up, at which sampling ends.

    n votes for one answer and none for another reach 1 - 1/2^(n+1): 0.95 takes four, 0.99 six.
    """
    min_samples: Count = 1
    """Samples drawn before looking for the first time."""
    batch: Count = 1
    """Samples drawn at a time from then on, before looking again."""

    @property
    def rounds(self) -> tuple[int, int]:
        """Samples in the first round, and in each one after it."""
        return self.min_samples, self.batch

    @property
    def title(self) -> str:
        """For example `posterior 0.95`, or `posterior 0.95 from 4 by 2`."""
        first = f" from {self.min_samples}" if self.min_samples > 1 else ""
        return f"posterior {self.confidence:g}{first}" + (f" by {self.batch}" if self.batch > 1 else "")


class ThresholdConfig(Config):
    """Stops at the first chain with an answer that is judged good enough. Only as good as the judge is calibrated."""

    kind: Literal["threshold"]
    """Selects this rule."""
    score: Annotated[float, SHARE] = Field(default=0.9, gt=0.0, le=1.0)
    """Score, aggregated over the chain's steps, at which sampling ends."""
    batch: Count = 1
    """Samples drawn at a time, before looking again."""

    @property
    def rounds(self) -> tuple[int, int]:
        """Samples in the first round, and in each one after it."""
        return self.batch, self.batch

    @property
    def title(self) -> str:
        """For example `threshold 0.9`."""
        return f"threshold {self.score:g}" + (f" by {self.batch}" if self.batch > 1 else "")


AdaptiveConfig = Annotated[
    CertainConfig | WindowConfig | PosteriorConfig | ThresholdConfig, Field(discriminator="kind")
]


def _with_slot(text: str) -> str:
    if text.count(SLOT) != 1:
        raise ValueError(f"a prompt must hold {SLOT} once, where the problem's own prompt goes")
    return text


class DiversityConfig(Config):
    """Forced diversity: samples take turns with the combinations of what is listed, models first, then prompts."""

    prompts: list[Annotated[str, AfterValidator(_with_slot)]] = []
    """Texts that hold `{problem}` once, where the problem's own prompt goes; empty: that prompt alone."""
    temperatures: list[Positive] = []
    """Each divides the logits of its samples; empty: the search's own temperature."""
    models: list[StageName] = []
    """Stages whose models sample besides the policy, which comes first; `model` is the recipe's own."""

    @model_validator(mode="after")
    def _differs(self) -> Self:
        if not (self.prompts or self.temperatures or self.models):
            raise ValueError("lists nothing that samples could differ by: list prompts, temperatures or models")
        for name in ("prompts", "temperatures", "models"):
            listed = getattr(self, name)
            if len(set(listed)) < len(listed):
                raise ValueError(f"`{name}` lists something twice, which samples no more differently: remove one")
        return self

    @property
    def size(self) -> int:
        """Number of combinations."""
        return max(len(self.prompts), 1) * max(len(self.temperatures), 1) * (len(self.models) + 1)

    @property
    def details(self) -> tuple[str, ...]:
        """For a title: `2 prompts`, `T=0.5/1`, `with sft`."""
        prompts = f"{len(self.prompts)} prompt{'s' if len(self.prompts) > 1 else ''}"
        temperatures = "T=" + "/".join(f"{t:g}" for t in self.temperatures)
        models = f"with {'/'.join(self.models)}"
        named = ((self.prompts, prompts), (self.temperatures, temperatures), (self.models, models))
        return tuple(text for listed, text in named if listed)


class BestOfNConfig(JudgedConfig):
    """N samples, one answer: by majority, by the reward's best chain, or by a vote weighted with the reward.

    With a `token_budget` and no `adaptive` rule samples are drawn one by one, with one in its rounds, and no round
    begins once the budget is spent: it is exceeded by less than a round.
    """

    kind: Literal["best_of_n"]
    """Selects this search."""
    num_samples: Count = 8
    """Samples a problem (N); at most so many if `adaptive` or `token_budget` is set."""
    select: Literal["majority", "best", "weighted"] = "weighted"
    """How one answer is chosen from the N."""
    aggregate: Aggregate = "min"
    """How the scores of a chain's steps become one number."""
    adaptive: AdaptiveConfig | None = None
    """When fewer samples are enough; null: never."""
    diversity: DiversityConfig | None = None
    """What samples are made to differ by, besides chance; null: nothing."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        rule, most = self.adaptive, self.num_samples
        if rule is not None and max(rule.rounds) >= most:
            text = f"`{rule.kind}` draws {max(rule.rounds)} samples before it looks, and num_samples is {most}"
            raise ValueError(f"{text}: it could spare none. Draw fewer at a time, or leave `adaptive` out")
        if rule is not None and self.select == "best" and not isinstance(rule, CertainConfig | ThresholdConfig):
            text = f"`{rule.kind}` counts votes, and `select: best` takes none"
            raise ValueError(f"{text}: use `select: majority` or `weighted`, or the rule `certain` or `threshold`")
        if isinstance(rule, ThresholdConfig) and self.select == "majority":
            raise ValueError("`threshold` looks at scores, and a majority has none: use `select: best` or `weighted`")
        if self.select == "majority" and self.scored_by != "judge":
            raise ValueError(
                "a majority counts answers and scores nothing: leave `scored_by` out, or use another `select`"
            )
        if self.diversity is not None and self.diversity.size > most:
            text = f"`diversity` has {self.diversity.size} combinations for num_samples ({most})"
            raise ValueError(f"{text}, so some would never be used: raise num_samples, or list fewer")
        return self

    @property
    def rounds(self) -> tuple[int, int]:
        """Samples in the first round, and in each one after it."""
        if self.adaptive is not None:
            return self.adaptive.rounds
        one_round = self.token_budget is None
        return (self.num_samples, self.num_samples) if one_round else (1, 1)

    @property
    def title(self) -> str:
        """For example `rm@8`, `prm_vote@8 (mean)`, or `adaptive majority<=16 (posterior 0.95)`."""
        best = "rm" if self.scored_by == "judge" else f"{self.scored_by}_best"
        name = {"majority": "majority", "best": best, "weighted": f"{named(self.scored_by)}_vote"}[self.select]
        fixed = self.adaptive is None and self.token_budget is None
        name = f"{'' if self.adaptive is None else 'adaptive '}{name}{'@' if fixed else '<='}{self.num_samples}"
        details: list[str] = [] if self.select == "majority" or self.aggregate == "min" else [self.aggregate]
        details += [self.adaptive.title] if self.adaptive is not None else []
        details += self.diversity.details if self.diversity is not None else ()
        return titled(name, (*details, *self.unusual))

    @property
    def judge(self) -> Judge | None:
        """A plain majority needs none."""
        return None if self.select == "majority" else self.scored_by

    @property
    def without_judge(self) -> str:
        """With what the policy has itself, or by majority."""
        return "`scored_by: confidence` or `select: majority` here"

    @property
    def models(self) -> tuple[str, ...]:
        """Those that sample besides the policy."""
        return tuple(self.diversity.models) if self.diversity is not None else ()
