"""Searches on a real model: what they return, what they count, and what they never see."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from o1kit.engines.policy import LanguagePolicy
from o1kit.functional.aggregation import aggregate
from o1kit.protocols import Sampling
from o1kit.rewards.prm import PrmReward
from o1kit.search.beam import Beam
from o1kit.search.best_of_n.config import CertainConfig, DiversityConfig
from o1kit.search.best_of_n.search import BestOfN
from o1kit.search.cfr.config import ConsensusConfig, CriticConfig, RegretTreeConfig
from o1kit.search.cfr.search import CfrSearch
from o1kit.search.config import BeamConfig, BestOfNConfig, CfrConfig, GreedyConfig, MctsConfig, SampleConfig
from o1kit.search.mcts.decision import decide
from o1kit.search.mcts.search import Mcts
from o1kit.search.sample import Greedy, Sample
from o1kit.tasks.config import ReasoningGymConfig, SplitConfig
from o1kit.tasks.suite import build_suite
from o1kit.types import Account, Completion, Score, SearchResult, State, Trajectory
from tests.tiny import engine_of, policy_of, problem, tiny

MODEL, TEMPLATE = tiny(context=160)
JUDGE = tiny(seed=7, head=True, context=160)[0]
PRM = PrmReward(engine_of(JUDGE, TEMPLATE))
SEARCHES: dict[str, Any] = {
    "greedy": Greedy(GreedyConfig(kind="greedy")),
    "sample": Sample(SampleConfig(kind="sample", num_samples=3)),
    "majority": BestOfN(BestOfNConfig(kind="best_of_n", num_samples=4, select="majority")),
    "best": BestOfN(BestOfNConfig(kind="best_of_n", num_samples=4, select="best")),
    "weighted": BestOfN(BestOfNConfig(kind="best_of_n", num_samples=4, select="weighted")),
    "adaptive": BestOfN(
        BestOfNConfig(kind="best_of_n", num_samples=6, adaptive=CertainConfig(kind="certain", batch=2))
    ),
    "diverse": BestOfN(
        BestOfNConfig(kind="best_of_n", num_samples=4, diversity=DiversityConfig(temperatures=[0.5, 1.0]))
    ),
    "budget": BestOfN(BestOfNConfig(kind="best_of_n", num_samples=6, token_budget=40)),
    "beam": Beam(BeamConfig(kind="beam", num_beams=2, num_children=3, max_steps=4)),
    "dvts": Beam(BeamConfig(kind="beam", num_beams=1, num_children=3, num_subtrees=3, max_steps=4)),
    "mcts": Mcts(MctsConfig(kind="mcts", num_simulations=10, num_children=3)),
    "cfr tree": CfrSearch(CfrConfig(kind="cfr", mode=RegretTreeConfig(kind="tree", num_iterations=4, max_steps=4))),
    "cfr critic": CfrSearch(CfrConfig(kind="cfr", mode=CriticConfig(kind="critic", num_samples=4))),
    "cfr consensus": CfrSearch(CfrConfig(kind="cfr", mode=ConsensusConfig(kind="consensus", num_samples=4))),
}


class Recorder:
    """A real engine that notes every prompt it is given, and every sequence it has made."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.prompts, self.made = engine, [], set()

    @property
    def context_length(self) -> int:
        return int(self.engine.context_length)

    async def sample(self, prompt: Sequence[int], n: int, sampling: Sampling, account: Account) -> list[Completion]:
        self.prompts.append(tuple(prompt))
        completions: list[Completion] = await self.engine.sample(prompt, n, sampling, account)
        self.made |= {(*prompt, *c.token_ids) for c in completions}
        return completions

    async def score(self, tokens: Sequence[int], positions: Sequence[int], account: Account) -> list[float]:
        self.prompts.append(tuple(tokens))
        return await self.engine.score(tokens, positions, account)


def run(search: Any, policy: Any = None, reward: Any = PRM, key: int = 1, text: str = "1+1=?") -> SearchResult:
    policy = policy or policy_of(MODEL, TEMPLATE)
    return asyncio.run(search.run(policy.start(problem(text)), policy=policy, reward=reward, key=key))


@pytest.mark.parametrize("name", SEARCHES)
def test_no_prompt_of_a_search_holds_the_ground_truth(name: str) -> None:
    """Every prompt is the problem's own text followed by tokens that the policy itself has generated."""
    source = ReasoningGymConfig(kind="reasoning_gym", generator="chain_sum", params={"min_digits": 4, "max_digits": 4})
    suite = build_suite({"train": SplitConfig(num_problems=6, sources=[source])}, 0, Path())
    recorder, judge = Recorder(engine_of(MODEL, TEMPLATE)), Recorder(PRM.engine)
    policy = LanguagePolicy(recorder, TEMPLATE, max_tokens=24)
    for item in suite.problems("train"):
        recorder.prompts, judge.prompts = [], []
        root = policy.start(item)
        result = asyncio.run(SEARCHES[name].run(root, policy=policy, reward=PrmReward(judge), key=0))
        start = tuple(TEMPLATE.encode(item.prompt + "\n"))
        answer = suite.truth(item).answer
        assert len(answer) >= 4 and answer not in item.prompt
        seen = recorder.prompts + judge.prompts
        assert seen
        assert result.trajectories
        for prompt in seen:
            assert prompt[: len(start)] == start
            assert prompt == start or any(whole[: len(prompt)] == prompt for whole in recorder.made)


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_are_functions_of_their_key(name: str) -> None:
    first, second = run(SEARCHES[name]), run(SEARCHES[name])
    assert [t.state.token_ids for t in first.trajectories] == [t.state.token_ids for t in second.trajectories]
    assert first.answers == second.answers


def test_another_key_samples_other_chains() -> None:
    texts = {run(SEARCHES["sample"], key=key).trajectories[0].state.text for key in range(6)}
    assert len(texts) > 3


@pytest.mark.parametrize("name", ["greedy", "sample", "majority", "adaptive", "diverse", "budget"])
def test_usage_counts_every_generated_token(name: str) -> None:
    result = run(SEARCHES[name])
    chains = [len(t.state.token_ids) - len(t.state.prompt_ids) for t in result.trajectories]
    assert result.usage.generated == sum(chains)


def test_mcts_usage_equals_what_the_engine_generated() -> None:
    engine = engine_of(MODEL, TEMPLATE)
    result = run(SEARCHES["mcts"], LanguagePolicy(engine, TEMPLATE, max_tokens=24))
    assert result.usage.generated == engine.usage.generated > 0


def test_sample_judges_every_answer_and_the_others_one() -> None:
    counts = {name: len(run(search).answers) for name, search in SEARCHES.items()}
    assert counts == {
        "greedy": 1,
        "sample": 3,
        "majority": 1,
        "best": 1,
        "weighted": 1,
        "adaptive": 1,
        "diverse": 1,
        "budget": 1,
        "beam": 1,
        "dvts": 1,
        "mcts": 1,
        "cfr tree": 1,
        "cfr critic": 1,
        "cfr consensus": 1,
    }


class Planted:
    """Chains with planted answers and scores, in place of a model."""

    def __init__(self, answers: Sequence[str], scores: Sequence[float]) -> None:
        self.answers, self.scores = answers, scores

    def start(self, item: Any) -> State:
        return State(item, (1,))

    async def complete(self, state: State, n: int, **_: Any) -> list[State]:
        from o1kit.types import Action

        return [State(state.problem, (1,), (Action(str(i), Completion((i,), (0.0,), "answer")),)) for i in range(n)]

    def answer(self, state: State) -> str:
        return self.answers[int(state.text)]

    async def step_scores(self, state: State) -> tuple[float, ...]:
        return (self.scores[int(state.text)],)


@pytest.mark.parametrize(("select", "expected"), [("majority", "a"), ("best", "c"), ("weighted", "b")])
def test_how_best_of_n_decides(select: Any, expected: str) -> None:
    """a: three votes of .1; b: two of .4; c: one of .7 - each rule picks another."""
    planted = Planted(["a", "a", "a", "b", "b", "c"], [0.1, 0.1, 0.1, 0.4, 0.4, 0.7])
    search = BestOfN(BestOfNConfig(kind="best_of_n", num_samples=6, select=select))
    result = asyncio.run(search.run(planted.start(problem()), policy=planted, reward=planted, key=0))  # type: ignore[arg-type]
    assert result.answers == (expected,)


def check_tree(result: SearchResult) -> None:
    children: dict[int | None, list[Any]] = {}
    for node in result.tree:
        children.setdefault(node.parent, []).append(node)
    (root,) = children[None]
    assert root.visits == max(node.visits for node in result.tree)
    for node in result.tree:
        below = children.get(node.id, [])
        if below:
            assert sum(child.visits for child in below) <= node.visits
            assert sum(child.prior for child in below) == pytest.approx(1.0, abs=1e-6) or node.parent is None
            assert len({child.text for child in below}) == len(below), "equal texts are one child"
        assert 0 <= node.value <= 1


@pytest.mark.parametrize("simulations", [1, 4, 25])
@pytest.mark.parametrize("leaves", [1, 4])
def test_trees_are_consistent(simulations: int, leaves: int) -> None:
    config = MctsConfig(kind="mcts", num_simulations=simulations, num_children=3, leaves_per_batch=leaves)
    result = run(Mcts(config))
    check_tree(result)
    assert result.tree[0].visits == simulations or leaves > 1
    assert result.trajectories
    assert all(t.state.terminal for t in result.trajectories)


@pytest.mark.parametrize("expand", ["step", "chain"])
def test_trees_do_not_depend_on_what_is_batched_together(expand: Any) -> None:
    search = Mcts(MctsConfig(kind="mcts", num_simulations=24, num_children=3, expand=expand))

    def grow(max_batch: int, together: int) -> list[Any]:
        judge = PrmReward(engine_of(JUDGE, TEMPLATE, max_batch=max_batch))
        policy = policy_of(MODEL, TEMPLATE, max_batch=max_batch)

        async def one(i: int) -> SearchResult:
            return await search.run(policy.start(problem(f"{i}+1=?")), policy=policy, reward=judge, key=i)

        async def several() -> list[SearchResult]:
            found: list[SearchResult] = []
            for start in range(0, 6, together):
                found += await asyncio.gather(*(one(i) for i in range(start, start + together)))
            return found

        return [[(n.text, n.parent, n.visits) for n in result.tree] for result in asyncio.run(several())]

    expected = grow(64, 6)
    assert grow(1, 1) == expected
    assert grow(5, 3) == expected
    assert max(map(len, expected)) > 20


def test_the_answer_is_one_of_the_chains_answers() -> None:
    result = run(SEARCHES["mcts"])
    assert set(result.answers) <= {t.answer for t in result.trajectories}


def test_step_scores_of_a_tree_are_those_of_its_chains() -> None:
    """The scores a tree gathers node by node equal scoring each finished chain at once."""
    for trajectory in run(SEARCHES["mcts"]).trajectories:
        whole = asyncio.run(PRM.step_scores(trajectory.state))
        assert trajectory.step_scores == pytest.approx(whole, abs=1e-5)
        assert trajectory.score == pytest.approx(aggregate("min", whole), abs=1e-5)


class Likes:
    """A reward that likes chains whose first step holds a letter: search must go there."""

    def __init__(self, letter: str) -> None:
        self.letter = letter

    async def score(self, state: State) -> Score:
        return Score(0.9 if self.letter in state.actions[0].text else 0.1, "planted")

    async def step_scores(self, state: State) -> tuple[float, ...]:
        return tuple([(await self.score(state)).value] * len(state.actions))


def test_visits_follow_the_reward() -> None:
    config = MctsConfig(
        kind="mcts", num_simulations=40, num_children=8, leaves_per_batch=1, selection={"kind": "puct", "c": 1.0}
    )
    plain = run(Mcts(config), reward=Likes("\0"))
    first = [node for node in plain.tree if node.parent == 0]
    letters = Counter(c for node in first for c in set(node.text))
    letter = next(c for c, n in letters.most_common()[::-1] if n < len(first))
    liked = run(Mcts(config), reward=Likes(letter))
    visits = {True: 0, False: 0}
    for node in liked.tree:
        if node.parent == 0:
            visits[letter in node.text] += node.visits
    assert visits[True] > visits[False]


def test_root_noise_changes_priors_and_nothing_else_at_zero() -> None:
    def priors(noise: float) -> list[float]:
        config = MctsConfig(kind="mcts", num_simulations=1, num_children=6, root_noise=noise)
        return [node.prior for node in run(Mcts(config)).tree if node.parent == 0]

    assert priors(0.0) != priors(0.5)
    assert sum(priors(0.5)) == pytest.approx(1.0)


def test_a_tree_without_a_finished_chain_completes_its_best_one() -> None:
    config = MctsConfig(kind="mcts", num_simulations=1, num_children=2)
    result = run(Mcts(config))
    assert len(result.trajectories) >= 1
    assert all(t.state.terminal for t in result.trajectories)


def test_tree_search_without_a_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="judges steps"):
        run(SEARCHES["mcts"], reward=None)


@pytest.mark.parametrize(("select", "expected"), [("weighted", "a"), ("best", "b"), ("visits", "c")])
def test_how_a_tree_decides(select: Any, expected: str) -> None:
    """a is likely (.7 x .5), b is liked (.2 x .9), c is visited: each rule picks another."""

    def chain(answer: str, prior: float, score: float, visits: int) -> Trajectory:
        return Trajectory(State(problem(), (1,)), answer, score, (score,), visits, prior)

    chains = [chain("a", 0.7, 0.5, 2), chain("b", 0.2, 0.9, 1), chain("c", 0.1, 0.1, 5)]
    assert decide(chains, select) == expected


@pytest.mark.parametrize("expand", ["step", "chain"])
def test_a_tree_votes_like_samples_when_nothing_is_pruned(expand: Any) -> None:
    """The priors of the finished chains of a fully grown tree are the policy's own: they add up to at most one."""
    config = MctsConfig(kind="mcts", num_simulations=12, num_children=4, expand=expand)
    result = run(Mcts(config))
    total = sum(t.prior for t in result.trajectories)
    assert 0 < total <= 1 + 1e-6
    if expand == "chain":
        assert total == pytest.approx(1.0), "every branch of the tree ends in a finished chain"
    check_tree(result)
