"""Recipe sections of the replay buffers."""

from typing import Annotated, Literal

from pydantic import Field

from o1kit.config import Config, Count, Positive, Probability, Unit


class PrioritizedReplayConfig(Config):
    """Proportional prioritized replay (Schaul et al. 2015, arXiv 1511.05952) with an age bound."""

    kind: Literal["prioritized"]
    """Selects this buffer."""
    capacity: Count = 8192
    """Most trajectories kept; the oldest leave first."""
    alpha: Probability = 0.6
    """Exponent of the priorities: 0 samples uniformly."""
    beta: Probability = 0.4
    """Exponent of the importance weights at the start; it rises linearly to 1 over the stage."""
    floor: Positive = 1e-3
    """Added to every priority, so that no trajectory becomes unreachable."""
    max_age: Annotated[int, Field(ge=0), Unit("policy updates")] = 4
    """Most policy updates (PPO iterations) a trajectory may lag behind before it is dropped."""


class OnPolicyReplayConfig(Config):
    """No replay: each iteration trains on its own trajectories only, each of them equally often."""

    kind: Literal["on_policy"]
    """Selects this buffer."""


ReplayConfig = Annotated[PrioritizedReplayConfig | OnPolicyReplayConfig, Field(discriminator="kind")]
