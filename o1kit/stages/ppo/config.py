"""Recipe section of proximal policy optimisation on searched trajectories."""

from typing import Literal

from o1kit.config import Config, Count, NonNegative, Positive, Probability, Seconds, StageName, Steps
from o1kit.replay.config import PrioritizedReplayConfig, ReplayConfig
from o1kit.rewards.config import JudgeConfig, RewardConfig, VerifierConfig
from o1kit.search.config import MctsConfig, SearchConfig
from o1kit.stages.config import TrainingStageConfig


class PpoLossConfig(Config):
    """Coefficients of the clipped objective (Schulman et al. 2017, arXiv 1707.06347)."""

    clip_ratio: Positive = 0.2
    """Half-width of the trust region of the probability ratio."""
    value_clip: Positive = 0.2
    """Half-width of the trust region of the value estimate."""
    gamma: Probability = 1.0
    """Discount a token."""
    gae_lambda: Probability = 0.95
    """Bias-variance trade-off of generalised advantage estimation (arXiv 1506.02438)."""
    baseline: Literal["value_head", "tree"] = "value_head"
    """What returns are compared with: the value head, or the mean outcome of the chains that share the prefix."""
    prior_strength: NonNegative = 2.0
    """With `tree`: how many chains the shorter prefix counts for in the value of a longer one."""
    kl_coef: NonNegative = 0.02
    """Weight of the KL divergence to the reference policy."""
    value_coef: NonNegative = 0.5
    """Weight of the value loss."""
    entropy_coef: NonNegative = 0.0
    """Weight of the entropy bonus."""


class PpoConfig(TrainingStageConfig):
    """Each iteration searches problems, stores the trajectories with their log-probabilities, and updates on replay."""

    kind: Literal["ppo"]
    """Selects this stage."""
    policy: StageName
    """Stage whose model is trained; it is also the reference.

    With an `http` engine the servers must hold its weights. They keep them: from the second round on the samples are
    those of the first policy (off-policy), the importance ratios are taken to the servers' log-probabilities, and the
    clip ratio bounds how far the policy moves in all.
    """
    reward: RewardConfig = VerifierConfig.model_construct(kind="verifier")
    """What the policy is rewarded for: step by step by kinds that judge steps, by the others at the end of a chain."""
    search: SearchConfig = MctsConfig.model_construct(kind="mcts")
    """How trajectories are collected."""
    judge: JudgeConfig | None = None
    """What judges steps inside the search, if it asks for it: the name of a `prm` stage, or a section."""
    replay: ReplayConfig = PrioritizedReplayConfig.model_construct(kind="prioritized")
    """Which trajectories an update sees."""
    loss: PpoLossConfig = PpoLossConfig.model_construct()
    """The objective."""
    iterations: Count = 40
    """Rounds of collecting and updating."""
    problems_per_iteration: Count = 64
    """Problems searched a round."""
    updates_per_iteration: Steps = 4
    """Optimizer steps a round."""
    batch_size: Count = 128
    """Trajectories a step."""
    max_failed_judgements: Probability = 0.02
    """Largest share of judgements that reward models may fail to make; each of them counts as 0."""
    max_seconds: Seconds | None = None
    """Ends the stage after so many seconds of wall time even if iterations are left."""
