"""Which reward judges the steps of a search."""

from __future__ import annotations

from typing import Any

from o1kit.protocols import Engine, StepReward
from o1kit.rewards.confidence import ConfidenceReward
from o1kit.rewards.mixture import MixtureReward
from o1kit.rewards.pairwise import AskedPairs
from o1kit.rewards.prm import ValueHeadReward
from o1kit.search.journal import Journal
from o1kit.search.journaled import journaled
from o1kit.search.section import TOP_TOKENS, SearchSection
from o1kit.search.tolerance import Tolerance, TolerantReward


def own_judge(section: SearchSection, engine: Engine) -> StepReward | None:
    """What the policy has itself, its value head or its confidence; None if another model judges, or nothing."""
    if section.judge == "value_head":
        return ValueHeadReward(engine)
    return (
        ConfidenceReward(getattr(section, "confidence_tokens", TOP_TOKENS)) if section.judge == "confidence" else None
    )


def guarded(reward: StepReward, journal: Journal, tolerance: Tolerance, name: str) -> TolerantReward:
    """A reward whose judgements are recorded, and which may fail now and then."""
    return tolerance.wrap(_recorded(reward, journal, name), name)


def _recorded(reward: Any, journal: Journal, name: str) -> Any:
    """Each part of a mixture is recorded by itself, with the tokens that it took."""
    if isinstance(reward, MixtureReward):
        return reward.of([_recorded(part, journal, f"{name}/{i}") for i, part in enumerate(reward.parts)])
    if isinstance(reward, AskedPairs):
        reward.recorded(journal)
    return journaled(reward, journal, name)
