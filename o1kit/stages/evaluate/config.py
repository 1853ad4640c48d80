"""Recipe section of the evaluation."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from o1kit.config import COUNT, SHARE, Beside, Config, Count, Probability, StageName, Unit
from o1kit.rewards.config import JudgeConfig
from o1kit.search.config import SearchConfig
from o1kit.stages.config import StageConfig
from o1kit.stages.labels.config import FileLabelsConfig
from o1kit.stages.prm.config import StageLabelsConfig

OWN = "model"
"""What stands for the recipe's own model in a list of policies; no stage may have this name."""


class BaselineConfig(Config):
    """The row that others are compared with, on the same problems."""

    policy: StageName | None = None
    """Policy of that row; null: the same as that of the row which is compared."""
    search: str | None = None
    """What its search is called in the table, for example `greedy`; null: the same as that of the row."""

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.policy is None and self.search is None:
            raise ValueError("names no row: give `policy`, `search`, or both")
        return self


class OverlapConfig(Config):
    """How problems are compared with training problems: those of the split `train`, of other splits that the evaluated
    stages, or those they are made from, sampled, and of the files of labels and pairs that these read.

    N-grams that more than ten and more than 1 % of the training problems have belong to a template, and are left out.
    """

    ngram: Annotated[int, Field(ge=2, le=50), Unit("words")] = 13
    """Length of an n-gram in words; of a problem that is shorter, 8, and the whole problem if it is still shorter."""
    threshold: Annotated[float, Field(gt=0.0, le=1.0), SHARE] = 0.8
    """A problem counts as similar if at least this share of its n-grams occurs in training problems."""
    known: Annotated[str | None, Beside()] = None
    """JSON lines with the `prompt` of further problems that something evaluated has learned from; null: none known."""


class EvaluateConfig(StageConfig):
    """Accuracy of every policy with every search on every split, with intervals and token counts."""

    kind: Literal["evaluate"]
    """Selects this stage."""
    policies: list[StageName] = Field(min_length=1)
    """Stages whose models are compared, in the order of the table; `model` is the recipe's own, before any stage.

    With an `http` engine it is one: what the servers serve, be it the recipe's own model or a stage's folder.
    """
    judge: JudgeConfig | None = None
    """What judges steps, for searches that need it: the name of a `prm` stage, or a section."""
    judge_folder: Annotated[str | None, Beside()] = None
    """In place of `judge`: folder of a reward model, as a stage writes it; relative to the recipe."""
    searches: list[SearchConfig] = Field(min_length=1)
    """Searches to run with each policy. Searches that draw the same samples share them."""
    splits: list[str] = ["heldout"]
    """Splits to evaluate on."""
    seeds: Count = 1
    """How often every search runs, each time with other random numbers; figures are means, with their spread.

    The greedy search finds the same chain every time, and runs once.
    """
    pass_at: list[Annotated[int, Field(ge=2), COUNT]] = []
    """For plain samples, further rows: unbiased estimates of pass@k for these k. They need the ground truth to choose.

    All powers of two up to the number of samples are in `results.json` in any case, in `extra.oracle_pass_at_k`.
    """
    compare_to: BaselineConfig | None = None
    """What the other rows are compared with; null: with `greedy` of the same policy, and the policy before."""
    overlap: OverlapConfig | None = OverlapConfig.model_construct()
    """Looks for problems that are like those of the split `train`, or others that were learned from; null: does not."""
    labels: Annotated[StageLabelsConfig | FileLabelsConfig, Field(discriminator="kind")] | None = None
    """Labelled chains to measure the judge on: accuracy, F1, AUC and calibration of its steps; null: none."""
    max_failed_judgements: Probability = 0.02
    """Largest share of judgements that the reward may fail to make; each of them counts as 0."""
    ask: list[str] = []
    """Questions put to the last policy at the end, answered with their chain of thought."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.judge is not None and self.judge_folder is not None:
            raise ValueError("`judge` and `judge_folder` both name what judges: keep one")
        if self.labels is not None and self.judge is None and self.judge_folder is None:
            raise ValueError("`labels` measure what judges, and nothing does: name a `judge`, or leave them out")
        most = max((getattr(s, "num_samples", 0) for s in self.searches if s.kind == "sample"), default=0)
        if self.pass_at and max(self.pass_at) > most:
            text = f"`pass_at` asks for pass@{max(self.pass_at)}, and no search of kind `sample` draws so many ({most})"
            raise ValueError(f"{text}: raise its num_samples, or leave it out")
        if len(set(self.pass_at)) < len(self.pass_at):
            raise ValueError("`pass_at` lists a number twice: remove one")
        return self
