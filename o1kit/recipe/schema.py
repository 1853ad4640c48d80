"""`Recipe`: the whole of a recipe file as one validated, frozen value."""

from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, field_validator

from o1kit.config import NUMBER, Config, FirstVersion
from o1kit.kinds import Kinds
from o1kit.models.config import EngineConfig, ModelConfig, TorchEngineConfig
from o1kit.recipe.nodes import Places, show
from o1kit.sharing.config import LockConfig
from o1kit.stages.dpo.config import DpoConfig
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.stages.labels.config import LabelsConfig
from o1kit.stages.pairs.config import PairsConfig
from o1kit.stages.ppo.config import PpoConfig
from o1kit.stages.prm.config import PrmConfig
from o1kit.stages.rollout.config import RolloutConfig
from o1kit.stages.sft.config import SftConfig
from o1kit.tasks.config import SplitConfig
from o1kit.tasks.graders.config import GradingConfig
from o1kit.tracking.config import TrackerConfig

StageSection = Annotated[
    SftConfig | LabelsConfig | PairsConfig | PrmConfig | DpoConfig | PpoConfig | RolloutConfig | EvaluateConfig,
    Kinds("stages"),
]


class WandbConfig(Config):
    """Weights & Biases logging; `offline` needs no account and no network."""

    mode: Literal["offline", "online", "disabled"] = "offline"
    """Where W&B data go."""
    project: str = "o1kit"
    """W&B project."""
    entity: str | None = None
    """W&B user or team; null is the account's default."""


class TrackingConfig(Config):
    """Where metrics go besides the local JSON-lines files, which are always written."""

    wandb: WandbConfig = WandbConfig.model_construct()
    """Weights & Biases."""
    trackers: list[TrackerConfig] = []
    """Trackers of installed packages, each with its `kind`; see `o1kit plugins list`."""


class Recipe(Config):
    """A whole o1 stack: one model, its problems, and the stages that train and evaluate it."""

    o1kit: FirstVersion
    """Version of the recipe format."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    """Name of the run: its folder under `runs/`."""
    seed: Annotated[int, Field(ge=0, lt=2**63), NUMBER] = 0
    """Every random choice follows from it."""
    model: ModelConfig
    """The language model that the first stage starts from."""
    tasks: dict[str, SplitConfig]
    """Splits by name; what learns needs `train`, and no prompt is in two of them."""
    grading: GradingConfig = GradingConfig.model_construct()
    """How answers are found and judged."""
    engine: EngineConfig = TorchEngineConfig.model_construct()
    """What samples and scores."""
    stages: list[StageSection] = Field(min_length=1)
    """What happens, in order; a stage may refer to the ones before it."""
    tracking: TrackingConfig = TrackingConfig.model_construct()
    """Where metrics go."""
    lock: LockConfig | None = None
    """What the run is to be repeated with; `o1kit recipe lock` writes it."""

    _places: Places = PrivateAttr(default_factory=Places)

    def where(self, *path: str | int) -> str:
        """`file:line:column: recipe.path` of a value, for messages; the path alone for a recipe that is no file."""
        place = self._places.nearest(path)
        return f"{place}: {show(path)}" if place else show(path)

    def written_at(self, places: Places) -> None:
        """Keeps where the values of this recipe were written, for `where`."""
        self._places = places

    @field_validator("engine", mode="before")
    @classmethod
    def _in_process(cls, engine: Any) -> Any:
        """An engine that names no kind is the one in this process."""
        return {"kind": "torch", **engine} if isinstance(engine, dict) and "kind" not in engine else engine
