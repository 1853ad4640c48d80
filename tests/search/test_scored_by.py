"""Best-of-N and beams scored by the policy itself: its confidence or its value head."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from o1kit import registry
from o1kit.rewards.judges import own_judge
from o1kit.rewards.prm import PrmReward
from o1kit.search.config import SearchConfig
from o1kit.types import SearchResult
from tests.recipe.test_loader import GOOD, fails
from tests.tiny import engine_of, policy_of, problem, tiny

MODEL, TEMPLATE = tiny(context=160, head=True)
PRM = PrmReward(engine_of(tiny(seed=7, head=True, context=160)[0], TEMPLATE))
SECTION: Any = TypeAdapter(SearchConfig)
BEST: dict[str, Any] = {"kind": "best_of_n", "num_samples": 5, "select": "best", "aggregate": "last"}
BEAM: dict[str, Any] = {"kind": "beam", "num_beams": 2, "num_children": 3, "max_steps": 4, "aggregate": "last"}


def run(section: dict[str, Any], key: int = 1) -> SearchResult:
    config, policy = SECTION.validate_python(section), policy_of(MODEL, TEMPLATE)
    reward = own_judge(config, policy.engine) or PRM
    search = registry.lookup("searches", config.kind)(config)
    return asyncio.run(search.run(policy.start(problem()), policy=policy, reward=reward, key=key))  # type: ignore[no-any-return]


@pytest.mark.parametrize("base", [BEST, BEAM], ids=["best_of_n", "beam"])
@pytest.mark.parametrize("scored_by", ["confidence", "value_head"])
def test_chains_have_the_scores_asked_for(base: dict[str, Any], scored_by: str) -> None:
    result, prm = run({**base, "scored_by": scored_by}), run(base)
    reward = own_judge(SECTION.validate_python({**base, "scored_by": scored_by}), policy_of(MODEL, TEMPLATE).engine)
    assert reward is not None
    for trajectory in result.trajectories:
        assert trajectory.step_scores == pytest.approx(asyncio.run(reward.step_scores(trajectory.state)), abs=1e-5)
    assert [t.score for t in result.trajectories] != [t.score for t in prm.trajectories]


@pytest.mark.parametrize("base", [BEST, BEAM], ids=["best_of_n", "beam"])
def test_the_number_of_alternatives_counts(base: dict[str, Any]) -> None:
    few, many = (run({**base, "scored_by": "confidence", "confidence_tokens": k}) for k in (2, 20))
    assert [t.score for t in few.trajectories] != [t.score for t in many.trajectories]
    for ours, other in zip(few.trajectories, many.trajectories, strict=True):
        assert base is BEAM or ours.score > other.score, "fewer to share with"


@pytest.mark.parametrize(
    ("section", "title"),
    [
        ({**BEST, "scored_by": "confidence"}, "confidence_best@5 (last)"),
        ({**BEST, "select": "weighted", "scored_by": "value_head"}, "value_head_vote@5 (last)"),
        ({**BEAM, "scored_by": "confidence"}, "beam 2x3 confidence (best) (last)"),
    ],
)
def test_titles(section: dict[str, Any], title: str) -> None:
    assert SECTION.validate_python(section).title == title


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({**BEST, "select": "majority", "scored_by": "confidence"}, "scores nothing"),
        ({**BEAM, "confidence_tokens": 9}, "is for `scored_by: confidence`"),
    ],
)
def test_contradictions_are_refused(section: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        SECTION.validate_python(section)


def test_only_ppo_stages_have_a_value_head() -> None:
    search = "{kind: best_of_n, num_samples: 4, scored_by: value_head}"
    message = fails(GOOD.replace("{kind: best_of_n, num_samples: 4}", search))
    assert "only ppo stages have a value head" in message
    assert "Use `scored_by: judge`" in message


@pytest.mark.parametrize(
    "search",
    [
        "{kind: best_of_n, scored_by: prm}",
        "{kind: mcts, leaf_value: prm}",
        "{kind: cfr, mode: {kind: tree, baseline: prm}}",
        "{kind: cfr, mode: {kind: critic, judge: prm}}",
        "{kind: self_refine, algorithm: {kind: mctsr, score: {kind: prm}}}",
    ],
)
def test_the_old_word_is_explained(search: str) -> None:
    assert "`prm` is now called `judge`" in fails(GOOD.replace("{kind: best_of_n, num_samples: 4}", search))
