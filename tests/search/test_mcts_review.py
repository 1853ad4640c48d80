"""Tree search at its edges: full contexts, split characters, deep chains, shares of rollouts, what is counted twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from o1kit.decoding import Decoding
from o1kit.engines.policy import LanguagePolicy
from o1kit.protocols import Span
from o1kit.rewards.confidence import ConfidenceReward
from o1kit.rewards.prm import PrmReward, ValueHeadReward, value_ends
from o1kit.search.config import MctsConfig
from o1kit.search.mcts.growth import identity
from o1kit.search.mcts.search import Mcts
from o1kit.search.tree import Node
from o1kit.types import Action, Completion, Finish, Problem, Score, SearchResult, State
from tests.search.test_mcts_options import TYPED, run
from tests.tiny import engine_of, policy_of, problem, tiny


def config(**changes: Any) -> MctsConfig:
    return MctsConfig.model_validate({"kind": "mcts", "leaves_per_batch": 1, **changes})


class Planted:
    """A policy whose steps are written here: `script(state, index)` gives text and finish of a sample."""

    def __init__(self, script: Any, value: Any = lambda state: 0.5) -> None:
        self.script, self.value = script, value

    def start(self, item: Problem) -> State:
        return State(item, (0,))

    async def propose(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), span: Span = Span()
    ) -> list[Action]:
        return [self._action(*self.script(state, f"{key} {i}", i)) for i in range(n)]

    async def complete(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), first: int = 0
    ) -> list[State]:
        found = []
        for i in range(first, first + n):
            now = state
            while not now.terminal:
                action = self._action(*self.script(now, f"{key} {i} {len(now.actions)}", i))
                now = State(now.problem, now.prompt_ids, (*now.actions, action))
            found.append(now)
        return found

    def answer(self, state: State) -> str | None:
        return state.text if state.terminal else None

    def named(self, model: str) -> Planted:
        return self

    def text(self, token_ids: Sequence[int]) -> str:
        return ""

    @staticmethod
    def _action(text: str, finish: Finish) -> Action:
        return Action(text, Completion(tuple(map(ord, text)) or (0,), (-1.0,) * max(len(text), 1), finish))

    async def score(self, state: State) -> Score:
        return Score(self.value(state), "planted")

    async def step_scores(self, state: State) -> tuple[float, ...]:
        states = [State(state.problem, state.prompt_ids, state.actions[: i + 1]) for i in range(len(state.actions))]
        return tuple(self.value(s) for s in states)


def search(policy: Planted, key: int = 0, **changes: Any) -> SearchResult:
    root = policy.start(problem())
    return asyncio.run(Mcts(config(**changes)).run(root, policy=policy, reward=policy, key=key))


@pytest.mark.parametrize("key", range(4))
def test_words_put_in_that_leave_no_room_end_the_chain(key: int) -> None:
    model, template = tiny(context=64)
    judge = PrmReward(engine_of(tiny(seed=7, head=True, context=64)[0], template))
    other = policy_of(tiny(seed=3, context=64)[0], template)
    policy = LanguagePolicy(engine_of(model, template), template, 64, {"other": other}.__getitem__)
    result = run(policy, judge, key, unit=TYPED, num_simulations=40)
    assert result.trajectories
    assert all(len(t.state.token_ids) <= 64 for t in result.trajectories)


def test_answers_are_read_from_whole_texts() -> None:
    """A byte-level tokenizer writes a character as several tokens; a cut between them must not lose it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from o1kit.engines.policy import PromptTemplate

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate([*alphabet, "<eos>"])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    template = PromptTemplate(PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>"))
    ids = template.encode("The answer is √2")
    policy = LanguagePolicy(engine_of(tiny()[0], template), template)
    for size in (1, 2, 7):
        pieces = [tuple(ids[i : i + size]) for i in range(0, len(ids), size)]
        pieces[-1] += (template.eos_id,)
        finishes: list[Finish] = [*["step"] * (len(pieces) - 1), "answer"]
        actions = [
            Action(template.decode(piece), Completion(piece, (0.0,) * len(piece), finish))
            for piece, finish in zip(pieces, finishes, strict=True)
        ]
        assert policy.answer(State(problem(), (1,), tuple(actions))) == "√2"


def test_nodes_are_told_apart_by_their_end_and_halves_of_characters_by_their_tokens() -> None:
    def action(text: str, tokens: tuple[int, ...], finish: Finish = "step") -> Action:
        return Action(text, Completion(tokens, (0.0,) * len(tokens), finish))

    assert identity(action("ab", (1, 2))) == identity(action("ab", (3,)))
    assert identity(action("ab", (1, 2))) != identity(action("ab", (1, 2), "answer"))
    assert identity(action("\ufffd", (159,))) != identity(action("\ufffd", (161,)))
    assert identity(action("ab", (1, 2)), by_tokens=True) != identity(action("ab", (3,)), by_tokens=True)


def test_a_finished_and_an_unfinished_step_of_one_text_are_two_nodes_with_their_own_scores() -> None:
    policy = Planted(
        lambda state, luck, i: ("x", "answer" if i == 0 or state.actions else "step"),
        lambda state: 0.9 if state.terminal else 0.1,
    )
    nodes = [n for n in search(policy, num_simulations=1, num_children=2).tree if n.parent == 0]
    assert sorted((n.terminal, n.estimate) for n in nodes) == [(False, 0.1), (True, 0.9)]


def test_deep_chains_do_not_exhaust_the_stack() -> None:
    state, node = State(problem(), (0,)), Node(0, State(problem(), (0,)))
    for i in range(3000):
        node = Node(i + 1, state, node, share=0.999)
    assert node.reach == pytest.approx(0.999**3000)


def test_rollouts_that_did_not_end_keep_their_share() -> None:
    """A policy that ends with probability 1/4 at each step: chains of two steps have mass 3/16, not more."""

    def script(state: State, luck: str, i: int) -> tuple[str, Finish]:
        return str(len(state.actions)), "answer" if random.Random(
            f"{luck} {len(state.actions)}"
        ).random() < 0.25 else "step"

    mass: Counter[int] = Counter()
    for seed in range(300):
        result = search(Planted(script), seed, num_simulations=8, num_children=2, max_steps=1, rollout={"max_steps": 1})
        for trajectory in result.trajectories:
            mass[len(trajectory.state.actions)] += trajectory.prior / 300  # type: ignore[assignment]
    assert mass[2] < 0.4, "0.74 when only finished rollouts were counted"


def test_votes_by_visits_count_the_samples_that_found_a_chain() -> None:
    def script(state: State, luck: str, i: int) -> tuple[str, Finish]:
        return "7" if i == 0 else "42", "answer"

    assert search(Planted(script), num_simulations=1, num_children=8, select="visits").answers == ("42",)


def test_patience_waits_for_an_answer() -> None:
    def script(state: State, luck: str, i: int) -> tuple[str, Finish]:
        return str(random.Random(luck).randrange(3)), "length" if len(state.actions) < 1 else "answer"

    class Silent(Planted):
        def answer(self, state: State) -> str | None:
            return None

    result = search(Silent(script), num_simulations=20, stop={"patience": 3})
    assert result.stats["simulations"] == 20


def test_confidence_and_varentropy_read_their_own_number_of_alternatives() -> None:
    plain = run(leaf_value="confidence", num_simulations=1)
    both = run(leaf_value="confidence", num_simulations=1, selection={"kind": "varentropy"})
    assert [n.estimate for n in plain.tree] == pytest.approx([n.estimate for n in both.tree], nan_ok=True)
    assert plain.usage.scored == 0


def test_confidence_takes_the_likeliest_whatever_their_order() -> None:
    def state(order: Sequence[tuple[int, float]]) -> State:
        return State(problem(), (0,), (Action("a", Completion((1,), (-0.5,), "answer", alternatives=(tuple(order),))),))

    sure, rest = [(1, -0.5), (2, -1.5), (3, -3.0)], ConfidenceReward(2)
    forward, back = (asyncio.run(rest.score(state(order))).value for order in (sure, sure[::-1]))
    assert forward == back > asyncio.run(ConfidenceReward(3).score(state(sure))).value


def test_the_value_head_is_read_where_ppo_trains_it() -> None:
    """The last token of a finished chain is no input in training: what follows it has no value."""
    model, template = tiny(head=True)
    policy = policy_of(model, template)
    start = policy.start(problem())
    (whole,) = asyncio.run(policy.complete(start, 1, key=1))
    trained = range(len(whole.prompt_ids) - 1, len(whole.token_ids) - 1)
    assert set(value_ends(whole)) <= set(trained)
    assert value_ends(start) == (len(start.prompt_ids) - 1,)
    value = asyncio.run(ValueHeadReward(policy.engine).score(whole)).value
    assert value == pytest.approx(min(max(whole.actions[-1].completion.values[-1], 0.0), 1.0), abs=1e-4)


def test_typed_widening_goes_on_with_the_table() -> None:
    table = {"kind": "actions", "start": {"a": 2, "b": 1}, "actions": {"a": {}, "b": {}}}

    def script(state: State, luck: str, i: int) -> tuple[str, Finish]:
        return str(random.Random(luck).randrange(10**6)), "answer" if state.actions else "step"

    result = search(
        Planted(script),
        num_simulations=60,
        unit=table,
        max_steps=1,
        widening={"k": 1.0, "alpha": 1.0},
        leaf_value="judge",
    )
    kinds = Counter(node.kind for node in result.tree if node.parent == 0)
    assert kinds["a"] + kinds["b"] > 30
    assert kinds["a"] / kinds["b"] == pytest.approx(2, abs=0.2)


def test_failed_rollouts_are_tried_again_too() -> None:
    table = {
        "kind": "actions",
        "start": {"a": 1},
        "actions": {"a": {"next": {"a": 1}}, "b": {}},
        "failure": {"after": "a", "add": {"b": 1}, "below": 0.5},
    }

    def script(state: State, luck: str, i: int) -> tuple[str, Finish]:
        return str(len(state.actions)), "answer" if len(state.actions) > 3 else "step"

    result = search(Planted(script, lambda state: 0.1), num_simulations=3, unit=table, rollout={}, max_steps=9)
    assert any(node.kind == "b" for node in result.tree)
