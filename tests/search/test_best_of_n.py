"""Best-of-N that stops early, samples with several prompts, temperatures and models, and keeps to a token budget."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from o1kit.engines.policy import LanguagePolicy
from o1kit.rewards.prm import PrmReward
from o1kit.search.best_of_n.config import DiversityConfig, PosteriorConfig
from o1kit.search.best_of_n.search import BestOfN
from o1kit.search.best_of_n.variants import SLOT
from o1kit.search.config import BestOfNConfig, SampleConfig
from o1kit.search.noise import derive
from o1kit.search.sample import Sample
from o1kit.stages.evaluate.shared import SharedSamples, SharedScores
from o1kit.types import Action, Completion, Problem, SearchResult, State
from tests.tiny import engine_of, problem, tiny

MODEL, TEMPLATE = tiny(context=160)
OTHER = tiny(seed=3, context=160)[0]
PRM = PrmReward(engine_of(tiny(seed=7, head=True, context=160)[0], TEMPLATE))
BATCHES = (1, 2, 3, 7)
PROMPTS = [f"think: {SLOT}", f"{SLOT}\nshort!"]


class Marked(LanguagePolicy):
    """A real model whose answers are planted: one of three, by the chain's middle token; none for some."""

    def answer(self, state: State) -> str | None:
        chain = state.token_ids[len(state.prompt_ids) :]
        mark = chain[len(chain) // 2]
        return None if mark % 7 == 0 else str(mark % 3)


def marked(model: Any = MODEL, engine: Any = None, others: Any = None, **options: Any) -> Marked:
    return Marked(engine or engine_of(model, TEMPLATE, **options), TEMPLATE, max_tokens=24, others=others)


def both(**options: Any) -> Marked:
    """Two models: `other` and the policy itself."""
    return marked(others={"other": marked(OTHER, **options)}.__getitem__, **options)


MEMORY = SharedSamples(both())
SCORES = SharedScores(PRM)


def run(policy: Any = MEMORY, reward: Any = SCORES, key: int = 1, **section: Any) -> SearchResult:
    """A search on a real model whose samples are remembered from one search to the next."""
    method = BestOfN(BestOfNConfig(**{"kind": "best_of_n", "select": "majority", **section}))
    return asyncio.run(method.run(policy.start(problem("1+1=?")), policy=policy, reward=reward, key=key))


def tokens(result: SearchResult) -> list[tuple[int, ...]]:
    return [t.state.token_ids for t in result.trajectories]


class Planted:
    """Samples with planted answers, lengths of one token, and scores: sample i is a function of key and i."""

    def __init__(self, shares: dict[str, float], truth: str = "", scores: Sequence[float] | None = None) -> None:
        self.shares, self.truth, self.scores, self.asked = shares, truth, scores, []

    def start(self, item: Problem) -> State:
        return State(item, (1,))

    async def complete(self, state: State, n: int, *, key: int, first: int = 0, **_: Any) -> list[State]:
        self.asked.append(n)
        texts = [self._text(derive(key, i)) for i in range(first, first + n)]
        return [State(state.problem, (1,), (Action(text, Completion((2,), (0.0,), "answer")),)) for text in texts]

    def _text(self, key: int) -> str:
        rng = random.Random(key)
        (answer,) = rng.choices(list(self.shares), list(self.shares.values()))
        return f"{answer} {rng.random()}"

    def answer(self, state: State) -> str | None:
        name = state.text.split()[0]
        return None if name == "none" else name

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """Right answers are liked more, on the whole; now and then one has the highest score there is."""
        name, luck = state.text.split()
        score = 0.6 * float(luck) + (0.4 if name == self.truth else 0.0)
        return (1.0 if score > 0.97 else score,)


async def search(planted: Any, key: int, **section: Any) -> SearchResult:
    method = BestOfN(BestOfNConfig(**{"kind": "best_of_n", "select": "majority", **section}))
    return await method.run(planted.start(problem()), policy=planted, reward=planted, key=key)


def searched(planted: Planted, key: int, **section: Any) -> SearchResult:
    return asyncio.run(search(planted, key, **section))


# ---- stopping early --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("select", ["majority", "weighted", "best"])
@pytest.mark.parametrize("batch", BATCHES)
def test_certain_gives_the_answer_of_all_samples_for_less(select: Any, batch: int) -> None:
    planted = Planted({"a": 0.5, "b": 0.3, "none": 0.2}, truth="a")
    rule = {"kind": "certain", "batch": batch}
    drawn = 0.0

    async def every() -> list[tuple[SearchResult, SearchResult]]:
        section = {"num_samples": 16, "select": select}
        return [
            (await search(planted, key, **section), await search(planted, key, adaptive=rule, **section))
            for key in range(40)
        ]

    for fixed, early in asyncio.run(every()):
        assert early.answers == fixed.answers
        assert early.trajectories == fixed.trajectories[: len(early.trajectories)]
        drawn += len(early.trajectories)
    assert drawn / 40 < 15.5


def test_certain_stops_as_soon_as_more_than_half_agree() -> None:
    result = searched(Planted({"a": 1.0}), 0, num_samples=16, adaptive={"kind": "certain"})
    assert len(result.trajectories) == 8, "eight more could only draw level, and ties go to the first seen"
    assert result.stats["stopped_by_rule"] == 1
    result = searched(Planted({"none": 1.0}), 0, num_samples=16, adaptive={"kind": "certain"})
    assert len(result.trajectories) == 16
    assert result.stats["stopped_by_rule"] == 0, "there was nothing left to be spared"
    assert result.answers == (None,)


@pytest.mark.parametrize("select", ["majority", "weighted"])
def test_a_window_ends_it_when_its_samples_agree(select: Any) -> None:
    """Replayed by hand on the samples of a fixed run: windows of four, the first that agrees is the last."""
    planted = Planted({"a": 0.7, "b": 0.3}, truth="a")
    lengths = Counter()
    for key in range(40):
        fixed = searched(planted, key, num_samples=18, select=select)
        names = [t.answer for t in fixed.trajectories]
        expected = next((n for n in (4, 8, 12, 16) if len(set(names[n - 4 : n])) == 1), 18)
        early = searched(planted, key, num_samples=18, select=select, adaptive={"kind": "window", "size": 4})
        assert len(early.trajectories) == expected
        assert early.trajectories == fixed.trajectories[:expected]
        lengths[expected] += 1
    assert lengths[4] and lengths[8] and len(lengths) > 3


def test_a_window_may_ask_for_less_than_all() -> None:
    """Three of four votes are a share of 0.75."""
    planted = Planted({"a": 0.5, "b": 0.5})
    for key in range(20):
        rule = {"kind": "window", "size": 4, "agreement": 0.75}
        early = searched(planted, key, num_samples=12, adaptive=rule)
        names = [t.answer for t in searched(planted, key, num_samples=12).trajectories]
        tops = [max(Counter(names[n - 4 : n]).values()) for n in (4, 8, 12)]
        assert len(early.trajectories) == next((4 * i for i, top in enumerate(tops, 1) if top >= 3), 12)


@pytest.mark.parametrize(("minimum", "batch"), [(1, 1), (3, 1), (1, 3), (2, 4)])
def test_the_posterior_is_looked_at_after_every_batch(minimum: int, batch: int) -> None:
    """Recomputed from counts as a binomial tail."""
    planted = Planted({"a": 0.6, "b": 0.3, "c": 0.1})
    for key in range(25):
        rule = {"kind": "posterior", "confidence": 0.9, "min_samples": minimum, "batch": batch}
        early = searched(planted, key, num_samples=20, adaptive=rule)
        names = [t.answer for t in searched(planted, key, num_samples=20).trajectories]
        looks = [*range(minimum, 20, batch), 20]
        expected = 20
        for n in looks:
            counts = [count for _, count in Counter(names[:n]).most_common(2)]
            first, second = (*counts, 0)[:2]
            size = first + second + 1
            tail = sum(math.comb(size, k) for k in range(second + 1, size + 1)) / 2**size
            if tail >= 0.9:
                expected = n
                break
        assert len(early.trajectories) == expected


def test_the_posterior_saves_samples_on_easy_problems_and_loses_no_accuracy() -> None:
    """200 easy problems (right answers in 0.8 to 0.95 of the samples) and 200 hard ones; N = 16, confidence 0.95."""

    def measure(low: float, high: float, **section: Any) -> tuple[float, float]:
        rng = random.Random(5)
        shares = [rng.uniform(low, high) for _ in range(200)]
        policies = [Planted({"right": p, "x": (1 - p) * 0.6, "y": (1 - p) * 0.4}) for p in shares]

        async def every() -> list[SearchResult]:
            return [await search(planted, key, num_samples=16, **section) for key, planted in enumerate(policies)]

        results = asyncio.run(every())
        right = sum(result.answers == ("right",) for result in results)
        return right / 200, sum(len(result.trajectories) for result in results) / 200

    rule = {"kind": "posterior", "confidence": 0.95}
    (fixed, full), (early, drawn) = measure(0.8, 0.95), measure(0.8, 0.95, adaptive=rule)
    assert full == 16
    assert drawn < 0.5 * full, "far more than the 30 % asked for"
    assert early >= fixed - 0.01
    (_, full), (_, hard) = measure(0.35, 0.5), measure(0.35, 0.5, adaptive=rule)
    assert drawn < 0.7 * hard < full, "harder problems get more"


@pytest.mark.parametrize(
    "rule", [{"kind": "certain"}, {"kind": "window", "size": 3}, {"kind": "posterior", "batch": 2}]
)
def test_the_samples_of_an_adaptive_run_are_the_first_of_a_fixed_one(rule: dict[str, Any]) -> None:
    sizes = []
    for key in range(4):
        fixed, early = run(num_samples=12, key=key), run(num_samples=12, key=key, adaptive=rule)
        assert tokens(early) == tokens(fixed)[: len(early.trajectories)]
        sizes.append(len(early.trajectories))
    assert min(sizes) < 12


@pytest.mark.parametrize("key", range(6))
def test_sampling_ends_at_the_first_answer_that_is_good_enough(key: int) -> None:
    fixed = run(num_samples=12, key=key, select="best").trajectories
    told = sorted(t.score for t in fixed if t.answer is not None)
    for wanted in (told[len(told) // 2] if told else 1.0, 1.0):
        first = next((i for i, t in enumerate(fixed) if t.answer is not None and t.score >= wanted), 11)
        rule = {"kind": "threshold", "score": wanted}
        early = run(num_samples=12, key=key, select="best", adaptive=rule).trajectories
        assert [t.state for t in early] == [t.state for t in fixed[: first + 1]]


def test_what_is_judged_is_what_was_drawn() -> None:
    planted = Planted({"a": 0.8, "b": 0.2}, truth="a")
    result = searched(planted, 3, num_samples=16, select="weighted", adaptive={"kind": "posterior", "batch": 2})
    assert 0 < len(result.trajectories) < 16
    assert result.usage.scored == result.usage.generated == len(result.trajectories)
    assert planted.asked[0] == 1 and set(planted.asked[1:]) == {2}


# ---- budgets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [None, {"kind": "certain", "batch": 3}])
def test_nothing_is_started_once_the_budget_is_spent(rule: Any) -> None:
    for budget in (1, 20, 60, 150, 10_000):
        more = {"adaptive": rule} if rule else {}
        result, free = run(num_samples=12, token_budget=budget, **more), run(num_samples=12, **more)
        sizes = [len(t.state.token_ids) - len(t.state.prompt_ids) for t in result.trajectories]
        assert result.usage.generated == sum(sizes)
        assert tokens(result) == tokens(free)[: len(sizes)]
        if len(sizes) < len(free.trajectories):
            last = 3 if rule else 1
            assert sum(sizes) >= budget, "it was spent"
            assert sum(sizes[:-last]) < budget, "and not before the last round"
            assert result.stats["stopped_by_budget"] == 1
        else:
            assert result.stats["stopped_by_budget"] == 0
    assert len(run(num_samples=12, token_budget=1).trajectories) == 1, "there is always an answer"


@pytest.mark.parametrize("limit", [1, 5])
def test_results_do_not_depend_on_batching_nor_on_what_is_searched_together(limit: int) -> None:
    many = DiversityConfig(prompts=PROMPTS, temperatures=[0.7, 1.2], models=["other"])
    rule = PosteriorConfig(kind="posterior", confidence=0.8, min_samples=3, batch=2)
    config = BestOfNConfig(kind="best_of_n", num_samples=12, adaptive=rule, diversity=many, token_budget=150)

    def grow(policy: Marked, judge: Any, together: bool) -> list[Any]:
        async def one(i: int) -> SearchResult:
            root = policy.start(problem(f"{i}+1=?"))
            return await BestOfN(config).run(root, policy=policy, reward=judge, key=i)

        async def several() -> list[SearchResult]:
            return list(await asyncio.gather(*map(one, range(3)))) if together else [await one(i) for i in range(3)]

        return [(tokens(result), result.answers, result.usage) for result in asyncio.run(several())]

    judge = PrmReward(engine_of(PRM.engine.model, TEMPLATE, max_batch=limit))  # type: ignore[attr-defined]
    assert grow(both(max_batch=limit), judge, together=limit == 5) == grow(both(), PRM, together=True)


def test_usage_is_what_the_engines_generated() -> None:
    mine, theirs = engine_of(MODEL, TEMPLATE), engine_of(OTHER, TEMPLATE)
    policy = marked(engine=mine, others={"other": marked(engine=theirs)}.__getitem__)
    many = {"prompts": PROMPTS, "models": ["other"]}
    result = run(policy, num_samples=9, diversity=many, adaptive={"kind": "certain", "batch": 2})
    assert min(mine.usage.generated, theirs.usage.generated) > 0
    assert result.usage.generated == mine.usage.generated + theirs.usage.generated
    prompts = [policy.start(problem(text.replace(SLOT, "1+1=?"))) for text in PROMPTS]
    assert result.usage.prompt == 2 * sum(len(start.token_ids) for start in prompts)
    assert run(num_samples=9, diversity=many, token_budget=1).usage.prompt == len(prompts[0].token_ids)


# ---- every option ----------------------------------------------------------------------------------------------------

POSTERIOR = {"kind": "posterior", "confidence": 0.7}
WINDOW = {"kind": "window", "size": 3}
THRESHOLD = {"kind": "threshold", "score": 0.5}
BASE: dict[str, Any] = {"num_samples": 10, "select": "weighted"}


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ({}, {"num_samples": 5}),
        ({}, {"select": "majority"}),
        ({"aggregate": "mean"}, {"select": "best"}),
        ({}, {"aggregate": "last"}),
        ({}, {"temperature": 0.5}),
        ({}, {"top_k": 2}),
        ({}, {"top_p": 0.3}),
        ({}, {"min_p": 0.3}),
        ({}, {"token_budget": 60}),
        ({}, {"adaptive": POSTERIOR}),
        ({"adaptive": POSTERIOR}, {"adaptive": POSTERIOR | {"confidence": 0.9}}),
        ({"adaptive": POSTERIOR}, {"adaptive": POSTERIOR | {"min_samples": 6}}),
        ({"adaptive": POSTERIOR}, {"adaptive": POSTERIOR | {"batch": 5}}),
        ({"adaptive": POSTERIOR}, {"adaptive": WINDOW}),
        ({"adaptive": POSTERIOR}, {"adaptive": {"kind": "certain"}}),
        ({"adaptive": WINDOW}, {"adaptive": WINDOW | {"size": 4}}),
        ({"adaptive": WINDOW}, {"adaptive": WINDOW | {"agreement": 0.6}}),
        ({"adaptive": {"kind": "certain"}}, {"adaptive": {"kind": "certain", "batch": 4}}),
        ({}, {"adaptive": THRESHOLD}),
        ({"adaptive": THRESHOLD}, {"adaptive": THRESHOLD | {"score": 0.99}}),
        ({"adaptive": THRESHOLD}, {"adaptive": THRESHOLD | {"batch": 4}}),
        ({}, {"diversity": {"prompts": PROMPTS}}),
        ({}, {"diversity": {"temperatures": [1.0, 0.5]}}),
        ({}, {"diversity": {"models": ["other"]}}),
    ],
)
def test_every_option_changes_what_is_found(base: dict[str, Any], change: dict[str, Any]) -> None:
    def found(key: int, **section: Any) -> Any:
        result = run(key=key, **{**BASE, **section})
        return tokens(result), result.answers, [t.score for t in result.trajectories]

    assert any(found(key, **base) != found(key, **{**base, **change}) for key in range(30))


def test_a_search_is_a_function_of_its_key() -> None:
    section = {"num_samples": 6, "diversity": {"prompts": PROMPTS, "models": ["other"]}, "adaptive": WINDOW}
    first, second, other = run(**section), run(**section), run(key=2, **section)
    assert first == second
    assert tokens(first) != tokens(other)


def test_votes_with_scores_need_a_reward() -> None:
    with pytest.raises(ValueError, match="`select: weighted` needs a reward"):
        run(reward=None, select="weighted")


def test_samples_tell_how_different_they_are() -> None:
    result = run(num_samples=6)
    names = {t.answer for t in result.trajectories} - {None}
    assert result.stats["samples"] == 6
    assert result.stats["distinct_answers"] == len(names) > 0
    assert 0 < result.stats["self_bleu"] < 1
    assert result.stats["self_bleu"] < run(num_samples=6, temperature=0.05).stats["self_bleu"]
    assert not run(num_samples=1).stats
    assert "self_bleu" not in run(num_samples=4, token_budget=1).stats
    policy = marked()
    plain = Sample(SampleConfig(kind="sample", num_samples=6))
    sampled = asyncio.run(plain.run(policy.start(problem("1+1=?")), policy=policy, reward=None, key=1))
    assert sampled.stats == result.stats


# ---- sections --------------------------------------------------------------------------------------------------------
