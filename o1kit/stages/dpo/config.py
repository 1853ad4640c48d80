"""Recipe section of direct preference optimisation."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from o1kit.config import SHARE, Config, Count, FilePath, NonNegative, Positive, StageName, Steps
from o1kit.stages.config import TrainingStageConfig


class StagePairsConfig(Config):
    """Preference pairs that an earlier stage wrote."""

    kind: Literal["stage"]
    """Selects this source of pairs."""
    stage: StageName
    """The stage that wrote them."""


class FilePairsConfig(Config):
    """Preference pairs from a file in o1kit's format (`docs/labels.md`)."""

    kind: Literal["file"]
    """Selects this source of pairs."""
    path: Annotated[FilePath, Field(min_length=1)]
    """The file; a relative path starts from the recipe's folder."""


class DpoConfig(TrainingStageConfig):
    """Makes the better chain of each pair likelier than the other, relative to a reference (DPO, arXiv 2305.18290)."""

    kind: Literal["dpo"]
    """Selects this stage."""
    policy: StageName
    """Stage whose model is trained further."""
    reference: StageName | None = None
    """Stage whose model is the reference; null: the policy as it was at the start."""
    pairs: Annotated[StagePairsConfig | FilePairsConfig, Field(discriminator="kind")]
    """The preference pairs."""
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """`sigmoid`: DPO's; `ipo`: a squared distance that does not grow without bound (arXiv 2310.12036)."""
    beta: Positive = 0.1
    """How dear it is to move away from the reference; with `ipo` its tau."""
    log_ratio: Literal["sum", "mean"] = "sum"
    """What a chain's log-ratio is over its tokens; `mean` does not favour long or short chains, and is how IPO's
    authors use it."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5), SHARE] = 0.0
    """Share of pairs whose order is taken to be wrong (conservative DPO)."""
    mask_shared_prefix: bool = True
    """Tokens that both chains begin with do not count (Marco-o1 v2, arXiv 2503.01461). In a sum they cancel
    anyway; in a mean they would dilute what differs."""
    sft_coef: NonNegative = 0.0
    """Weight of the next-token loss on the whole better chain (Marco-o1 v2): keeps it from becoming less likely too."""
    steps: Steps = 200
    """Optimizer steps."""
    batch_size: Count = 32
    """Pairs a step."""

    @model_validator(mode="after")
    def _smoothing_is_of_a_sigmoid(self) -> Self:
        if self.loss == "ipo" and self.label_smoothing > 0:
            raise ValueError("`label_smoothing` belongs to the sigmoid loss: remove it, or use `loss: sigmoid`")
        return self
