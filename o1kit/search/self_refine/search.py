"""`SelfRefine`: tree search over whole answers, by either algorithm."""

from __future__ import annotations

from o1kit.protocols import Policy, Reward, StepReward
from o1kit.search.self_refine.config import (
    JudgeScoreConfig,
    MctsrConfig,
    PairwiseConfig,
    SelfRefineConfig,
    SelfScoreConfig,
)
from o1kit.search.self_refine.desk import Desk
from o1kit.search.self_refine.judges import JudgeScore, Pairwise, SelfScore
from o1kit.search.self_refine.mctsr import Mctsr
from o1kit.search.self_refine.sr_mcts import SrMcts
from o1kit.types import SearchResult, State


class SelfRefine:
    """Critique and rewrite in a tree of answers."""

    def __init__(self, config: SelfRefineConfig) -> None:
        self.config = config

    async def run(
        self, root: State, *, policy: Policy, reward: StepReward | None, key: int, oracle: Reward | None = None
    ) -> SearchResult:
        """All answers found and the one chosen from them."""
        algorithm, desk = self.config.algorithm, Desk(self.config, policy, root)
        judge = _judge(algorithm.score, desk, reward)
        if isinstance(algorithm, MctsrConfig):
            if self.config.oracle and oracle is None:
                raise ValueError("`stop_when_correct` needs an oracle")
            assert not isinstance(judge, Pairwise), "refused by the recipe"
            return await Mctsr(algorithm, desk, judge, oracle if self.config.oracle else None, key).run()
        assert not isinstance(judge, SelfScore), "refused by the recipe"
        return await SrMcts(algorithm, desk, judge, key).run()


def _judge(
    config: SelfScoreConfig | JudgeScoreConfig | PairwiseConfig, desk: Desk, reward: StepReward | None
) -> SelfScore | JudgeScore | Pairwise:
    if isinstance(config, SelfScoreConfig):
        return SelfScore(config, desk)
    if isinstance(config, PairwiseConfig):
        return Pairwise(config, desk)
    if reward is None:
        raise ValueError("`score: judge` needs a reward that judges steps")
    return JudgeScore(config, desk, reward)
