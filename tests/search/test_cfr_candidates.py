"""Generator against critic, and consensus: planted candidates with known equilibria, and a real model that judges."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from o1kit.decoding import Decoding
from o1kit.engines.policy import LanguagePolicy
from o1kit.errors import DataError
from o1kit.protocols import Span
from o1kit.rewards.prm import PrmReward
from o1kit.search.cfr.search import CfrSearch
from o1kit.search.config import CfrConfig
from o1kit.types import Action, Completion, Problem, SearchResult, State, TreeNode
from tests.search.test_cfr_tree import FLIPS as TREE_OPTIONS
from tests.tiny import engine_of, problem, tiny

MODEL, TEMPLATE = tiny(context=160)
CRITIC, _ = tiny(seed=5, context=160)
JUDGE = tiny(seed=7, head=True, context=160)[0]
QUESTION = "{answer}? {problem}"
ASK: dict[str, Any] = {"judge": "prompt", "question": QUESTION}
YES, NO, OTHER = 100, 101, 102


class Planted:
    """Chains with planted answers, scores, and replies to the critic's question: (P(Yes), P(No)) by answer."""

    def __init__(
        self, answers: Sequence[str | None], scores: Sequence[float], replies: dict[str, tuple[float, float]]
    ) -> None:
        self.answers, self.scores, self.replies = answers, scores, replies
        self.asked: list[str] = []
        self.alternatives = True

    def start(self, item: Problem) -> State:
        return State(item, (1,))

    def named(self, model: str) -> Planted:
        assert not model
        return self

    def text(self, token_ids: Sequence[int]) -> str:
        return {YES: " Yes", NO: "no", OTHER: " "}[token_ids[0]]

    async def complete(self, state: State, n: int, *, first: int = 0, **_: Any) -> list[State]:
        chains = [(Action(str(i), Completion((i, i), (0.0,) * 2, "answer")),) for i in range(first, first + n)]
        return [State(state.problem, (1,), chain) for chain in chains]

    async def propose(self, state: State, n: int, *, key: int, decoding: Decoding, span: Span) -> list[Action]:
        assert (n, span.max_tokens, decoding.greedy) == (1, 1, True)
        text = state.problem.prompt
        self.asked.append(text)
        if "long" in text:
            raise DataError("it does not fit")
        yes, no = self.replies[text.split("?")[0]]
        likely = ((OTHER, 0.0), (YES, math.log(yes)), (NO, math.log(no)))[: decoding.alternatives + 1]
        if "mute" in text:
            likely = ((OTHER, 0.0),)
        best = YES if yes > no else NO
        return [Action("", Completion((best,), (0.0,), "step", alternatives=(likely,) if self.alternatives else ()))]

    def answer(self, state: State) -> str | None:
        return self.answers[int(state.text)]

    async def step_scores(self, state: State) -> tuple[float, ...]:
        return (self.scores[int(state.text)],)


def answers_of(result: SearchResult) -> list[TreeNode]:
    """The nodes that stand for answers; the chains are below them."""
    return [node for node in result.tree if node.unit == "answer"]


def search(mode: dict[str, Any], **more: Any) -> CfrSearch:
    return CfrSearch(CfrConfig.model_validate({"kind": "cfr", "mode": mode} | more))


def play(
    answers: Sequence[str | None],
    scores: Sequence[float] = (),
    replies: Any = None,
    budget: int | None = None,
    **mode: Any,
) -> SearchResult:
    policy: Any = Planted(answers, scores or [0.5] * len(answers), replies or {})
    one = search({"num_samples": len(answers), **mode}, token_budget=budget)
    return asyncio.run(one.run(policy.start(problem("Q")), policy=policy, reward=policy, key=0))


class Talker(LanguagePolicy):
    """A real model whose chains all answer: with their last visible character."""

    def answer(self, state: State) -> str | None:
        return state.text.strip()[-1:] or None

    def named(self, model: str) -> LanguagePolicy:
        return Talker(self.other, TEMPLATE, max_tokens=24) if model else self

    other: Any = None


def real(max_batch: int = 64, key: int = 2, engine: Any = None, other: Any = None, **options: Any) -> SearchResult:
    policy = Talker(engine or engine_of(MODEL, TEMPLATE, max_batch=max_batch), TEMPLATE, max_tokens=24)
    policy.other = other or engine_of(CRITIC, TEMPLATE, max_batch=max_batch)
    judge = PrmReward(engine_of(JUDGE, TEMPLATE, max_batch=max_batch))
    fields = {name: options.pop(name) for name in ("temperature", "token_budget") if name in options}
    one = search({"kind": "consensus", "iterations": 30, "num_samples": 6} | options, **fields)
    return asyncio.run(one.run(policy.start(problem("1+1=?")), policy=policy, reward=judge, key=key))


# ---- generator against critic ----------------------------------------------------------------------------------------


def test_an_equilibrium_by_hand() -> None:
    """Of eight chains a is right with 3 x .8 / 8 = .3 and b with 4 x .4 / 8 = .2; one chain has no answer.

    With c = .25 and L = 1 the value is .5 x 2 / 1.75 = 4/7 and 4/7 of all claims are challenged; what is claimed are
    the right answers and bluffs of p c / (1 + L - c) = p / 7: .3 x 8/7 and .2 x 8/7.
    """
    answers, scores = ["a"] * 3 + ["b"] * 4 + [None], [0.8] * 3 + [0.4] * 4 + [0.9]
    result = play(answers, scores, kind="critic", iterations=400)
    assert result.answers == ("a",)
    assert result.stats["exploitability"] < 1e-3
    assert result.stats["game_value"] == pytest.approx(4 / 7, abs=1e-3)
    assert result.stats["challenged"] == pytest.approx(4 / 7, abs=1e-2)
    claims = [2.4 / 7, 1.6 / 7, 1 - 4 / 7]
    assert [node.avg_strategy for node in answers_of(result)] == pytest.approx(claims[:2], abs=1e-2)
    assert result.stats["strategy_entropy"] == pytest.approx(-sum(p * math.log(p) for p in claims), abs=1e-2)


@pytest.mark.parametrize(
    ("answers", "scores", "expected"),
    [("aab", [0.2, 0.2, 0.9], "b"), ("aab", [0.5, 0.5, 0.9], "a"), ("abc", [0.3, 0.31, 0.29], "b"), ("a", [0.01], "a")],
)
def test_the_answer_follows_the_belief(answers: str, scores: list[float], expected: str) -> None:
    result = play(list(answers), scores, kind="critic")
    assert result.answers == (expected,)
    assert result.stats["exploitability"] < 1e-3


def test_what_is_believed_can_be_defended() -> None:
    values = [play(["a", "b"], [p, p], kind="critic").stats["game_value"] for p in (0.1, 0.5, 0.95)]
    assert values == sorted(values)
    assert values[2] == pytest.approx(1, abs=1e-2)


# ---- consensus -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", ["generator", "discriminator", "product"])
def test_consensus_prefers_what_both_sides_like(rank: str) -> None:
    """a is said most but not believed, c is believed but hardly said, b is liked by both."""
    answers, scores = ["a"] * 5 + ["b"] * 4 + ["c"], [0.1] * 5 + [0.7] * 4 + [0.75]
    result = play(answers, scores, kind="consensus", rank=rank, discriminator="belief")
    assert result.answers == ("b",)
    assert [(node.answer, node.visits, node.prior) for node in answers_of(result)] == [
        ("a", 5, 0.5),
        ("b", 4, 0.4),
        ("c", 1, 0.1),
    ]
    assert sum(node.avg_strategy or 0 for node in answers_of(result)) == pytest.approx(1)


def test_who_ranks_matters_while_they_disagree() -> None:
    """Held to what they said at first by a strong anchor: a was said most, b is believed."""
    options = {"iterations": 100, "anchor": 100.0, "kind": "consensus"}
    answers, scores = ["a", "a", "a", "b"], [0.2, 0.2, 0.2, 0.9]
    chosen = {r: play(answers, scores, rank=r, **options).answers[0] for r in ("generator", "discriminator", "product")}
    assert chosen == {"generator": "a", "discriminator": "b", "product": "b"}


def test_a_lone_candidate_is_certain() -> None:
    result = play(["a", "a"], [0.3, 0.2], kind="consensus", incorrect="inverse")
    assert result.answers == ("a",)
    assert result.stats["strategy_entropy"] == pytest.approx(0)


# ---- both ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["critic", "consensus"])
def test_without_an_answer_there_is_none(kind: str) -> None:
    result = play([None, None], kind=kind)
    assert result.answers == (None,)
    assert len(result.trajectories) == 2


@pytest.mark.parametrize("kind", ["critic", "consensus"])
def test_a_prompted_judge_is_read_from_the_first_token_of_its_reply(kind: str) -> None:
    """P(Yes) / (P(Yes) + P(No)), one question for each different answer, one token a question."""
    replies = {"a": (0.2, 0.6), "b": (0.3, 0.1)}
    result = play(["a", "b", "a", None], replies=replies, kind=kind, judge="prompt", question=QUESTION)
    assert [chain.score for chain in result.trajectories] == pytest.approx([0.25, 0.75, 0.25, 0.0])
    assert result.usage.generated == 4 * 2 + 2
    assert result.stats["unasked"] == 0


def test_questions_are_filled_in_once() -> None:
    """Braces in a problem or an answer are text, not places to fill in."""
    policy: Any = Planted(["{problem}"], [0.5], {"{problem}": (0.5, 0.1)})
    one = search(
        {"kind": "critic", "num_samples": 1, "judge": "prompt", "question": "{answer}? {problem} {solution} {x}"}
    )
    asyncio.run(one.run(policy.start(problem("{answer}")), policy=policy, reward=None, key=0))
    assert policy.asked == ["{problem}? {answer} 0 {x}"]


def test_what_does_not_fit_the_judge_is_believed_by_half() -> None:
    result = play(["long", "b"], replies={"b": (0.3, 0.1)}, kind="consensus", judge="prompt", question=QUESTION)
    assert [chain.score for chain in result.trajectories] == pytest.approx([0.5, 0.75])
    assert result.stats["unasked"] == 0.5


def test_a_reply_that_is_neither_yes_nor_no_says_nothing() -> None:
    result = play(["mute", "b"], replies={"mute": (0.2, 0.1), "b": (0.3, 0.1)}, kind="critic", **ASK)
    assert [chain.score for chain in result.trajectories] == pytest.approx([0.5, 0.75])


def test_a_reply_without_alternatives_says_yes_or_no() -> None:
    policy: Any = Planted(["a", "b"], [], {"a": (0.2, 0.6), "b": (0.3, 0.1)})
    policy.alternatives = False
    one = search({"kind": "critic", "num_samples": 2, "judge": "prompt", "question": QUESTION})
    result = asyncio.run(one.run(policy.start(problem("Q")), policy=policy, reward=None, key=0))
    assert [chain.score for chain in result.trajectories] == [0, 1]


def test_too_few_alternatives_hide_the_reply() -> None:
    replies = {"a": (0.2, 0.6)}
    options: dict[str, Any] = {"kind": "critic", "judge": "prompt", "question": QUESTION, "alternatives": 1}
    assert play(["a"], replies=replies, **options).trajectories[0].score == 1.0, "only Yes was among them"


@pytest.mark.parametrize("kind", ["critic", "consensus"])
def test_a_budget_ends_sampling_and_asking(kind: str) -> None:
    """Chains of two tokens in rounds of four: a budget of nine ends after two rounds, and asks nothing."""
    answers = list("abcdefghijkl")
    result = play(answers, budget=9, kind=kind, iterations=5)
    assert [chain.answer for chain in result.trajectories] == list("abcdefgh")
    asked = play(answers, budget=9, kind=kind, iterations=5, judge="prompt", question=QUESTION)
    assert asked.usage.generated == 16
    assert asked.stats["unasked"] == 1
    assert {chain.score for chain in asked.trajectories} == {0.5}


# ---- a real model ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"kind": "critic"}, {"judge": "prompt", "question": QUESTION}], ids=str)
def test_results_do_not_depend_on_batching(options: dict[str, Any]) -> None:
    def told(limit: int) -> Any:
        result = real(limit, **options)
        return result.answers, [t.state.token_ids for t in result.trajectories], [n.text for n in result.tree]

    expected = told(64)
    assert told(1) == expected == told(5)
    assert len(expected[2]) > 2


@pytest.mark.parametrize("critic", [None, "sft"])
def test_usage_is_what_the_engines_generated(critic: str | None) -> None:
    engine, other = engine_of(MODEL, TEMPLATE), engine_of(CRITIC, TEMPLATE)
    result = real(engine=engine, other=other, judge="prompt", question=QUESTION, critic=critic)
    assert result.usage.generated == engine.usage.generated + other.usage.generated
    assert (other.usage.generated > 0) == (critic is not None)


FLIPS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"num_samples": 4}),
    ({}, {"judge": "prompt", "question": QUESTION}),
    ({}, {"aggregate": "max"}),
    ({}, {"kind": "critic"}),
    ({}, {"iterations": 5}),
    ({}, {"learning_rate": 1.0}),
    ({}, {"anchor": 0.5}),
    ({"num_samples": 16}, {"incorrect": "inverse"}),
    ({}, {"discriminator": "belief"}),
    ({}, {"temperature": 0.4}),
    ({}, {"token_budget": 30}),
    ({"judge": "prompt", "question": QUESTION}, {"question": "{solution}"}),
    ({"judge": "prompt", "question": QUESTION}, {"critic": "sft"}),
    ({"kind": "critic"}, {"critique_cost": 0.5}),
    ({"kind": "critic"}, {"penalty": 3.0}),
    ({"kind": "critic"}, {"iterations": 5}),
    ({"kind": "critic"}, {"rule": "linear"}),
]


@functools.cache
def unchanged(key: int, base: str) -> SearchResult:
    return real(key=key, **json.loads(base))


@pytest.mark.parametrize(("base", "change"), FLIPS, ids=str)
def test_every_option_changes_the_result(base: dict[str, Any], change: dict[str, Any]) -> None:
    """`rank` and `alternatives`, which a random model does not show, have tests of their own."""
    assert any(unchanged(key, json.dumps(base)) != real(key=key, **(base | change)) for key in range(2, 5))


@pytest.mark.parametrize("kind", ["critic", "consensus"])
def test_searches_are_functions_of_their_key(kind: str) -> None:
    assert real(kind=kind) == real(kind=kind)
    assert real(kind=kind, key=3) != real(kind=kind, key=4)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ({"kind": "critic", "critic": "sft"}, "critic is for `judge: prompt`"),
        ({"kind": "consensus", "question": QUESTION}, "question is for `judge: prompt`"),
        ({"kind": "critic", "judge": "prompt", "aggregate": "max"}, "aggregate is for `judge: judge`"),
        ({"kind": "critic", "judge": "prompt", "question": "Is it right?"}, "all candidates look the same"),
        ({"kind": "critic", "critique_cost": 1.0}, "must be below penalty"),
        ({"kind": "tree", "prior_decay": "linear", "prior_weight": 0.0}, "nothing to lower while prior_weight is 0"),
    ],
)
def test_options_that_contradict_each_other_are_refused(mode: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        CfrConfig.model_validate({"kind": "cfr", "mode": mode})


@pytest.mark.parametrize(
    ("mode", "title", "judge", "models"),
    [
        ({"kind": "tree"}, "cfr tree 16 full linear (weighted)", "judge", ()),
        ({"kind": "tree", "prior_weight": 0.0}, "cfr tree 16 full linear prior_weight 0.0 (weighted)", "judge", ()),
        ({"kind": "critic", "aggregate": "last"}, "cfr critic@8 prm aggregate last", "judge", ()),
        ({"kind": "critic", "judge": "prompt"}, "cfr critic@8 prompt", None, ()),
        (
            {"kind": "consensus", "judge": "prompt", "critic": "sft"},
            "cfr consensus@8 prompt sft (generator)",
            None,
            ("sft",),
        ),
    ],
)
def test_searches_describe_themselves(mode: dict[str, Any], title: str, judge: str | None, models: Any) -> None:
    config = CfrConfig.model_validate({"kind": "cfr", "mode": mode})
    assert (config.title, config.judge, config.models) == (title, judge, models)
    assert bool(config.without_judge) == (mode["kind"] != "tree")


def test_no_two_searches_have_one_name() -> None:
    """Results are kept by title: every option but those of decoding, and the words of a question, shows in it."""
    titles = {}
    for kind, changes in (("tree", [({}, change) for change in TREE_OPTIONS]), ("critic", FLIPS), ("consensus", FLIPS)):
        for base, change in changes:
            mode = {"kind": kind} | base | change | ({"question": QUESTION} if "question" in change else {})
            if mode["kind"] == kind and not {"kind", "temperature", "token_budget"} & change.keys():
                with contextlib.suppress(ValidationError):  # an option of the other mode
                    titles[json.dumps(mode, sort_keys=True)] = CfrConfig.model_validate(
                        {"kind": "cfr", "mode": mode}
                    ).title
    assert len(titles) > 25
    assert len(set(titles.values())) == len(titles)


@pytest.mark.parametrize("kind", ["tree", "critic", "consensus"])
def test_a_judge_that_is_not_there_is_missed(kind: str) -> None:
    policy: Any = Planted(["a"], [0.5], {})
    with pytest.raises(ValueError, match="needs a reward"):
        asyncio.run(search({"kind": kind}).run(policy.start(problem()), policy=policy, reward=None, key=0))
