"""Recipe section of reward models that are trained: on steps, on whole chains, or on comparisons."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from o1kit.config import Config, Count, FilePath, Late, NonNegative, Positive, PublicText, StageName, Steps
from o1kit.stages.config import TrainingStageConfig
from o1kit.stages.labels.config import FileLabelsConfig, MonteCarloLabelsConfig, OmegaLabelsConfig


class StageLabelsConfig(Config):
    """Labels that a `labels` stage wrote; for the pairwise objective also the pairs of a `pairs` stage."""

    kind: Literal["stage"]
    """Selects this source of labels."""
    stage: StageName
    """The stage that wrote them."""


class PairsFileConfig(Config):
    """Preference pairs from a file in o1kit's format (`docs/labels.md`), for the pairwise objective."""

    kind: Literal["pairs"]
    """Selects this source of pairs."""
    path: Annotated[FilePath, Field(min_length=1)]
    """The file; a relative path starts from the recipe's folder."""


PAIRS_PER_PROBLEM = 16
BETA = 0.1


class PrmObjectiveConfig(Config):
    """Every step is judged: cross-entropy with the labels at the ends of steps."""

    kind: Literal["prm"]
    """Selects this objective."""
    ranking: NonNegative = 0.0
    """Weight of a second loss, -log sigmoid(r_better - r_worse) among the chains of one problem, and among their steps.

    Cross-entropy alone is content with how hard a problem is; this one with which of its chains is right. With it a
    batch holds several chains of each problem."""
    inner: Positive = 1.0
    """Weight of the label of a step before its chain's end, where that of an end has 1.

    Completions that are sampled to label a step are chains with a label at their end: those are many, and easier."""


class OrmObjectiveConfig(Config):
    """Whole chains are judged: cross-entropy with the final answer's label, at the end of the chain only."""

    kind: Literal["orm"]
    """Selects this objective."""


class PairwiseObjectiveConfig(Config):
    """Chains of one problem are compared: -log sigmoid(r_better - r_worse) (Bradley-Terry), or a question to answer.

    Read by a head, each chain gets a number at its end; read by tokens, the model is asked whether the first of two
    answers is better (LLaMA-Berry, arXiv 2410.02884), in both orders."""

    kind: Literal["pairwise"]
    """Selects this objective."""
    pairs_per_problem: Count = PAIRS_PER_PROBLEM
    """Most comparisons that labels of one problem are made into; with a head every pair within a batch counts."""
    loss: Annotated[Literal["likelihood", "dpo"], Late()] = "likelihood"
    """`likelihood`: that of Bradley and Terry by a head, cross-entropy of the answer by tokens; `dpo`, by tokens only:
    of the answer's log-odds minus those of the model as it was (arXiv 2305.18290), LLaMA-Berry's own training."""
    beta: Annotated[Positive, Late()] = BETA
    """With `dpo`: how dear it is to move away from the model as it was."""


ObjectiveConfig = Annotated[
    PrmObjectiveConfig | OrmObjectiveConfig | PairwiseObjectiveConfig, Field(discriminator="kind")
]


class ReadingConfig(Config):
    """What is read off the model, and where."""

    by: Literal["head", "tokens"] = "head"
    """A scalar head, or the log-odds of two label tokens of the language model."""
    good: PublicText = ""
    """With `tokens`: the label of what is good; one token of the tokenizer."""
    bad: PublicText = ""
    """With `tokens`: the label of what is bad; one token."""
    mark: PublicText = ""
    """Text put in after each step, where it is read; one token. Empty: at the last token of the step itself."""

    surprise: bool = False
    """Also reads how surprising the chain's tokens were to the policy that drew them: the least probability of a token
    so far, their geometric mean, and their product. It costs nothing: they are kept with every sample. The model itself
    hardly sees them, and they tell right chains of a problem from wrong ones."""

    @model_validator(mode="after")
    def _labels_belong_to_tokens(self) -> Self:
        if (self.by == "tokens") != bool(self.good) or (self.by == "tokens") != bool(self.bad):
            raise ValueError("`good` and `bad` are needed with `by: tokens`, and only there")
        if self.good and self.good == self.bad:
            raise ValueError("`good` and `bad` must be different tokens")
        return self


class PrmConfig(TrainingStageConfig):
    """A reward model: a value in [0, 1] at the end of every step, for a whole chain, or for one against another."""

    kind: Literal["prm"]
    """Selects this stage."""
    policy: StageName
    """Stage whose model writes the chains and gives the initial weights."""
    objective: ObjectiveConfig = PrmObjectiveConfig.model_construct(kind="prm")
    """What is judged."""
    reading: ReadingConfig = ReadingConfig.model_construct()
    """How the judgement is read off the model."""
    labels: Annotated[
        MonteCarloLabelsConfig | OmegaLabelsConfig | StageLabelsConfig | FileLabelsConfig | PairsFileConfig,
        Field(discriminator="kind"),
    ]
    """Where the labels come from: sampled here, or read."""
    calibrate: bool = False
    """Fit a scale and a bias of the log-odds on the held-out problems, so that 0.8 means right in 80 of 100.

    Ends of chains and the steps before them get a calibration each, where there are 50 labels of both.
    The summary measures each of those problems with a fit on others, never with one that has seen it."""
    one_sided: Literal["refuse", "train"] = "refuse"
    """What to do when all labels are on one side of one half: such a model learns nothing but that."""
    steps: Steps = 400
    """Optimizer steps."""
    batch_size: Count = 64
    """Chains a step."""

    @model_validator(mode="after")
    def _they_fit_together(self) -> Self:
        if isinstance(self.objective, PairwiseObjectiveConfig):
            if self.calibrate:
                raise ValueError(
                    "`calibrate` has no meaning for comparisons: remove it, or use an objective prm or orm"
                )
            if self.reading.by == "tokens" and self.reading.surprise:
                raise ValueError("a question about two texts has no `surprise`: remove it, or read by a head")
            if self.reading.by == "tokens" and self.reading.mark:
                raise ValueError("a comparison is read at the end of its question: remove `reading.mark`")
            if self.reading.by == "head" and self.objective.pairs_per_problem != PAIRS_PER_PROBLEM:
                raise ValueError("`pairs_per_problem` counts only with `reading.by: tokens`: remove it")
            if self.objective.loss == "dpo" and self.reading.by == "head":
                raise ValueError("`loss: dpo` is of the answer to a question, and a head answers none: read by tokens")
            if self.objective.loss != "dpo" and self.objective.beta != BETA:
                raise ValueError("`beta` counts only with `loss: dpo`: remove it")
        elif isinstance(self.labels, PairsFileConfig):
            raise ValueError("pairs say which of two chains is better, no more: use `objective: {kind: pairwise}`")
        return self
