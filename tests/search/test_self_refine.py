"""Self-refinement by planted models: searches worked out by hand, replies that make no sense, prompts too long."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from o1kit.decoding import Decoding
from o1kit.errors import DataError
from o1kit.functional.prompts import fill
from o1kit.protocols import Span
from o1kit.search.self_refine.config import SelfRefineConfig
from o1kit.search.self_refine.judges import read_mark
from o1kit.search.self_refine.search import SelfRefine
from o1kit.types import Action, Completion, Problem, Score, SearchResult, State
from tests.tiny import problem

PROMPTS = {"critique_prompt": "C|{problem}|{answer}", "rewrite_prompt": "R|{problem}|{answer}|{critique}"}
WORDS = {7: "Yes", 8: " no", 9: "perhaps"}


@dataclass
class Planted:
    """Answers the first question with A; then rewrites, marks and preferences as they are planted, in their order."""

    rewrites: dict[str, list[str]]
    marks: dict[str, list[str]] = field(default_factory=dict)
    better: dict[str, float] = field(default_factory=dict)
    """P(first > second) by the two texts, for pairs in the order of the alphabet."""
    bias: float = 0.0
    """Added to the probability of whatever stands first."""
    longest: int = 10_000
    """Longest prompt that fits."""
    asked: list[str] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def start(self, item: Problem) -> State:
        return State(item, tuple(range(len(item.prompt))))

    def named(self, model: str) -> Planted:
        assert not model
        return self

    def text(self, token_ids: Sequence[int]) -> str:
        return "".join(WORDS[token] for token in token_ids)

    def answer(self, state: State) -> str | None:
        return None if "?" in state.text else state.text[0]

    def _next(self, kind: str, planted: dict[str, list[str]], of: str) -> str:
        self.used[kind + of] += 1
        return planted[of][self.used[kind + of] - 1]

    def _ask(self, state: State) -> str:
        prompt = state.problem.prompt
        if len(prompt) > self.longest:
            raise DataError("too long")
        self.asked.append(prompt)
        return prompt

    async def propose(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), span: Span = Span()
    ) -> list[Action]:
        kind, _, *texts = self._ask(state).split("|")
        likely: tuple[tuple[int, float], ...] = ()
        if kind == "C":
            reply = f" what is wrong with {{answer}} {texts[0]}\n"
        elif kind == "S":
            reply = self._next(kind, self.marks, texts[0])
        else:
            assert decoding.greedy and span.max_tokens == 1
            first, second = texts
            p = self.better[first + second] if first < second else 1 - self.better[second + first]
            likely = (
                (9, math.log(0.5)),
                (7, math.log(0.4 * (p + self.bias))),
                (8, math.log(0.4 * (1 - p - self.bias))),
            )
            reply = "perhaps"
        tokens = tuple(range(len(reply)))
        return [Action(reply, Completion(tokens, (0.0,) * len(tokens), "answer", alternatives=(likely,)))]

    async def complete(self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), first: int = 0) -> Any:
        kind, *texts = self._ask(state).split("|")
        text = self._next("R", self.rewrites, texts[1]) if kind == "R" else "A"
        tokens = tuple(range(len(text)))
        return [State(state.problem, state.prompt_ids, (Action(text, Completion(tokens, (0.0,), "answer")),))]


def run(policy: Any, algorithm: dict[str, Any], oracle: Any = None, reward: Any = None, **more: Any) -> SearchResult:
    config = SelfRefineConfig.model_validate({"kind": "self_refine", "algorithm": algorithm, **PROMPTS, **more})
    root = policy.start(problem("P"))
    return asyncio.run(SelfRefine(config).run(root, policy=policy, reward=reward, key=1, oracle=oracle))


def marked(marks: dict[str, list[Any]], rewrites: dict[str, list[str]], **more: Any) -> Planted:
    return Planted(rewrites, {name: [str(mark) for mark in line] for name, line in marks.items()}, **more)


SELF = {"kind": "self_score", "prompt": "S|{problem}|{answer}"}
MCTSR = {"kind": "mctsr", "exploration": 60.0, "max_children": 2, "dummy_answer": "D", "score": SELF}
MARKS = {"A": [60, 40, 20], "D": [-80], "B": [80, 30], "C": [10], "E": [90, "hm", "?", ""], "F": ["[Score] 97"]}
REWRITES = {"A": ["B", "E"], "B": ["C"], "E": ["F"]}
TRACE = {
    1: {"A": (None, 2, 62.5), "D": (None, 1, -80), "B": ("A", 1, 80)},
    2: {"A": (None, 2, 35.625), "D": (None, 1, -80), "B": ("A", 2, 26.25), "C": ("B", 1, 10)},
    3: {"A": (None, 3, 60), "D": (None, 1, -80), "B": ("A", 2, 26.25), "C": ("B", 1, 10), "E": ("A", 1, 90)},
    4: {
        "A": (None, 3, 50),
        "D": (None, 1, -80),
        "B": ("A", 2, 26.25),
        "C": ("B", 1, 10),
        "E": ("A", 2, 70),
        "F": ("E", 1, 50),
    },
}
"""By hand, with c = 60. Start: Q_A = 60, Q_D = -80; N = 1 each; UCT A 138, D -2.

1: A again 40: Q_A = (40 + 50)/2 = 45; B 80: Q'_A = (45 + 80)/2 = 62.5. UCT A 62.5 + 60 sqrt((ln 3 + 1)/2) = 124.0,
   D 6.9, B 80 + 60 sqrt(ln 2 + 1) = 158.1.
2: B again 30: Q_B = (30 + 55)/2 = 42.5; C 10: Q'_B = 26.25, Q'_A = (45 + 26.25)/2 = 35.625. UCT A 97.1, D 6.9,
   B 26.25 + 60 sqrt((ln 2 + 1)/2) = 81.5, C 10 + 60 sqrt(ln 2 + 1) = 88.1.
3: A again 20: Q_A = (20 + 40)/2 = 30; E 90: Q'_A = (30 + 90)/2 = 60. A is fully expanded: two rewrites, 90 > 30.
   UCT D 12.7, B 26.25 + 60 sqrt((ln 3 + 1)/2) = 87.7, C 88.1, E 90 + 60 sqrt(ln 3 + 1) = 176.9.
4: E again, three replies without a mark: an error, Q_E stays 90; F 97, suppressed to 50: Q'_E = 70, Q'_A = 50.
"""


def seen(result: SearchResult) -> dict[str, Any]:
    """Father, visits and value (on the scale of the marks) of each answer, by its text."""
    names: dict[int | None, str | None] = {None: None} | {node.id: node.text for node in result.tree}
    return {n.text: (names[n.parent], n.visits, pytest.approx(200 * n.value - 100)) for n in result.tree}


@pytest.mark.parametrize("rollouts", TRACE)
def test_mctsr_worked_out_by_hand(rollouts: int) -> None:
    result = run(marked(MARKS, REWRITES), MCTSR | {"num_rollouts": rollouts})
    assert seen(result) == TRACE[rollouts]


def test_what_mctsr_makes_of_the_trace() -> None:
    result = run(marked(MARKS, REWRITES), MCTSR | {"num_rollouts": 4})
    assert result.answers == ("E",), "the best Q is 90"
    own = {t.answer: 200 * t.score - 100 for t in result.trajectories}
    assert own == pytest.approx({"A": 30, "B": 42.5, "C": 10, "E": 90, "F": 50}), "no trajectory of the dummy"
    assert result.stats == {"nodes": 6, "score_errors": 1, "improved": 0.5}
    assert [t.visits for t in result.trajectories] == [3, 2, 1, 2, 1]


def test_prompts_hold_the_last_answer_and_critique_only() -> None:
    policy = marked(MARKS, REWRITES)
    result = run(policy, MCTSR | {"num_rollouts": 2})
    assert "C|P|B" in policy.asked
    assert "R|P|B|what is wrong with {answer} B" in policy.asked, "braces in what a model wrote stay as they are"
    last = result.trajectories[-1].state
    assert last.problem.prompt == "R|P|B|what is wrong with {answer} B"
    assert last.problem.id == "p" and last.prompt_ids == tuple(range(len(last.problem.prompt)))


def test_backup_to_the_father_only() -> None:
    """Rollout 2: Q'_A mixes B's own Q: (45 + 42.5)/2."""
    result = run(marked(MARKS, REWRITES), MCTSR | {"num_rollouts": 2, "backup": "parent"})
    assert seen(result)["A"] == (None, 2, pytest.approx(43.75))


def test_the_bound_of_the_authors_code() -> None:
    """A root has no exploration there, so C with 10 + 60 sqrt(ln 3) = 72.9 comes before A with 35.6 and B with 70.7."""
    result = run(
        marked(MARKS | {"C": [10, 10], "G": [0]}, REWRITES | {"C": ["G"]}), MCTSR | {"num_rollouts": 3, "uct": "code"}
    )
    assert seen(result)["G"][0] == "C"


def test_an_answer_without_a_mark_comes_last_and_is_marked_again() -> None:
    silent = {"A": ["?"] * 3 + [20], "B": [10], "D": ["?"] * 3}
    result = run(marked(silent, {"A": ["B"]}), MCTSR | {"num_rollouts": 1})
    assert result.stats["score_errors"] == 2
    assert seen(result) == {"A": (None, 2, 15), "D": (None, 1, -100), "B": ("A", 1, 10)}
    assert result.answers == ("A",)
    assert [t.score for t in result.trajectories] == pytest.approx([0.6, 0.55])


def test_retries_are_bounded() -> None:
    policy = marked({"A": ["?", "?", "5"]}, {})
    algorithm = MCTSR | {"num_rollouts": 1, "dummy_answer": "", "score": SELF | {"retries": 1}}
    policy.longest = 8  # long enough for `S|P|A`, too short for a rewrite
    result = run(policy, algorithm | {"exploration": 0.0})
    assert policy.used["SA"] == 3 and result.stats["score_errors"] == 1


def test_what_does_not_fit_the_context_ends_a_branch_not_the_search() -> None:
    long = "long" + "?" * 30  # a prompt for its critique fits, the one for a rewrite with the critique does not
    marks = {"A": [50, 50], long: [90, 90], "D": [-80, -80], "B": [0]}
    policy = marked(marks, {"A": [long], "D": ["B"]}, longest=60)
    result = run(policy, MCTSR | {"num_rollouts": 3, "max_children": 1, "exploration": 0.0})
    assert seen(result) == {"A": (None, 2, 70), "D": (None, 2, -40), long: ("A", 2, 90), "B": ("D", 1, 0)}
    assert result.answers == ("A",), "an answer that states nothing is not chosen"
    no_room = run(marked({"A": [1, 1], "D": [1, 1]}, {}, longest=8), MCTSR | {"num_rollouts": 9})
    assert len(no_room.tree) == 2 and no_room.answers == ("A",)


@pytest.mark.parametrize(
    ("rule", "nodes"),
    [
        ({}, 8),
        ({"patience": 3}, 4),
        ({"patience": 4}, 8),
        ({"max_repeats": 2}, 4),
        ({"max_repeats": 3}, 8),
        ({"max_depth": 1}, 2),
        ({"max_depth": 2}, 6),
    ],
)
def test_stop_rules(rule: dict[str, int], nodes: int) -> None:
    """A is rewritten as B three times, which is worse, then as E, which is better; E three times as F, which is worse.

    Without anything better: 3 rollouts, then 3. Without anything new: 2, then 2. The
    first B is at depth 1, the first F at depth 2.
    """
    marks = {"A": [10] * 9, "B": [-20] * 3, "E": [60] * 9, "F": [10] * 3}
    rewrites = {"A": ["B", "B", "B", "E"], "E": ["F", "F", "F"]}
    algorithm = MCTSR | {"num_rollouts": 7, "dummy_answer": "", "exploration": 0.0, "max_children": 1} | rule
    assert len(run(marked(marks, rewrites), algorithm).tree) == nodes


def test_stopping_at_a_right_answer_is_an_oracles_work() -> None:
    class Truth:
        async def score(self, state: State) -> Score:
            return Score(float(state.text == "C"), "truth", oracle=True)

    algorithm = MCTSR | {"num_rollouts": 4, "stop_when_correct": True}
    result = run(marked(MARKS, REWRITES), algorithm, oracle=Truth())
    assert [node.text for node in result.tree] == ["A", "D", "B", "C"]
    assert result.answers == ("C",), "the right one, though its mark is the lowest"
    with pytest.raises(ValueError, match="oracle"):
        run(marked(MARKS, REWRITES), algorithm)
    ignored = run(marked(MARKS, REWRITES), MCTSR | {"num_rollouts": 4}, oracle=Truth())
    assert len(ignored.tree) == 6, "without the flag nobody looks at the truth"


def test_the_token_budget_starts_nothing_new() -> None:
    free = run(marked(MARKS, REWRITES), MCTSR | {"num_rollouts": 4})
    tight = run(marked(MARKS, REWRITES), MCTSR | {"num_rollouts": 4}, token_budget=40)
    assert 40 <= tight.usage.generated < free.usage.generated
    assert 2 < len(tight.tree) < len(free.tree)


def test_a_sampled_pick_follows_the_marks() -> None:
    """Marks of 100, 0 and -100 are chosen as 2 : 1 : 0."""
    marks = {"A": [0] * 4, "B": [-100], "C": [100]}
    algorithm = MCTSR | {"num_rollouts": 2, "dummy_answer": "", "pick": "sampled", "exploration": 0.0}
    algorithm["score"] = SELF | {"suppress_above": 100.0}
    config = SelfRefineConfig.model_validate({"kind": "self_refine", "algorithm": algorithm, **PROMPTS})
    picks = []
    for key in range(300):
        policy = marked(marks, {"A": ["B", "C"]})
        root = policy.start(problem("P"))
        picks += asyncio.run(SelfRefine(config).run(root, policy=policy, reward=None, key=key)).answers  # type: ignore[arg-type]
    assert picks.count("B") == 0
    assert picks.count("C") / 300 == pytest.approx(2 / 3, abs=0.08)


# ---- SR-MCTS --------------------------------------------------------------------------------------------------------

PAIRS = {"AB": 0.2, "AC": 0.7, "BC": 0.6, "AD": 0.6, "BD": 0.1, "CD": 0.3}
BERRY = {"kind": "sr_mcts", "score": {"kind": "pairwise", "prompt": "?|{problem}|{first}|{second}"}}
BERRY_TRACE = {
    1: {"A": (None, 1, 1.0)},
    2: {"A": (None, 2, 0.1), "B": ("A", 1, 1.0)},
    3: {"A": (None, 3, 0.5445), "B": ("A", 2, 0.9), "C": ("B", 1, 0.0)},
    4: {"A": (None, 4, 0.4717), "B": ("A", 3, 0.667), "C": ("B", 1, 0.0), "D": ("B", 1, 1.0)},
}
"""By hand, with alpha = .9, gamma = .1, c = 1.4.

2: B > A. Own values A 0, B 1; A <- .9 * 0 + .1 * 1. UCT A .1 + 1.4 sqrt(ln 2 / 2) = .92, B 1 + 1.4 sqrt(ln 2) = 2.17.
3: B > A > C. Own values A .9/2, B 1, C 0. Backups: A <- .405 + .1 = .505 (B's), then B <- .9, A <- .4545 + .09 (C's).
   UCT A .5445 + 1.4 sqrt(ln 3 / 3) = 1.39, B .9 + 1.4 sqrt(ln 3 / 2) = 1.94, C 1.17.
4: A > D > B > A is a cycle, above C. Mean wins in it: A (.2 + .6)/2, B (.8 + .1)/2, D (.4 + .9)/2: D, B, A, C.
   Own values D 1, B .9 * 2/3 + .1 = .7, A .9/3 + .1 = .4, C 0. Backups: A <- .43; B <- .63, A <- .45; B <- .667,
   A <- .4717.
"""


@pytest.mark.parametrize("bias", [0.0, 0.08])
@pytest.mark.parametrize("nodes", BERRY_TRACE)
def test_sr_mcts_worked_out_by_hand(nodes: int, bias: float) -> None:
    policy = Planted({"A": ["B"], "B": ["C", "D"]}, better=PAIRS, bias=bias)
    result = run(policy, BERRY | {"max_nodes": nodes})
    names = {node.id: node.text for node in result.tree}
    found = {n.text: (names.get(n.parent) if n.parent is not None else None, n.visits, n.value) for n in result.tree}
    assert found == {name: (p, v, pytest.approx(q)) for name, (p, v, q) in BERRY_TRACE[nodes].items()}
    assert sum(prompt.startswith("?") for prompt in policy.asked) == nodes * (nodes - 1), "each pair in both orders"


def test_what_sr_mcts_makes_of_the_trace() -> None:
    result = run(Planted({"A": ["B"], "B": ["C", "D"]}, better=PAIRS), BERRY | {"max_nodes": 4})
    assert [t.answer for t in result.trajectories] == ["D", "B", "A", "C"]
    assert [t.score for t in result.trajectories] == pytest.approx([1, 0.7, 0.4, 0])
    assert result.answers == ("D",)
    assert result.stats == {"nodes": 4, "score_errors": 0, "improved": pytest.approx(2 / 3)}


def test_backup_of_a_preference_to_the_father_only() -> None:
    """Three answers: A takes B's value once: .9 * .45 + .1 * 1."""
    policy = Planted({"A": ["B"], "B": ["C"]}, better=PAIRS)
    result = run(policy, BERRY | {"max_nodes": 3, "backup": "parent"})
    assert [node.value for node in result.tree] == pytest.approx([0.505, 0.9, 0.0])


def test_preferences_that_cannot_be_read_are_counted_and_decide_nothing() -> None:
    class Dumb(Planted):
        def text(self, token_ids: Sequence[int]) -> str:
            return "perhaps"

    result = run(Dumb({"A": ["B", "C", "D"], "B": ["C"], "C": ["D"]}, better=PAIRS), BERRY | {"max_nodes": 3})
    assert result.stats["score_errors"] == 3
    assert result.answers == ("A",), "equal in everything: the oldest"


def test_answers_are_compared_by_the_reward_models_scores() -> None:
    """Bradley-Terry: the higher score wins, so the ranking is that of the scores, and a dummy is no part of it."""
    scores = {"A": 0.5, "B": 0.9, "C": 0.2, "D": 0.7}

    class Judge:
        async def step_scores(self, state: State) -> tuple[float, ...]:
            assert state.problem.prompt == "P" and state.prompt_ids == (0,), "it sees an answer to the problem itself"
            return (scores[state.text],)

    policy = Planted({"A": ["C", "B"], "B": ["D", "D"]})
    result = run(policy, {"kind": "sr_mcts", "max_nodes": 4, "score": {"kind": "judge"}}, reward=Judge())
    assert [t.answer for t in result.trajectories] == sorted((n.text for n in result.tree), key=lambda a: -scores[a])
    assert result.usage.scored == 4, "each answer once"
    assert [t.step_scores for t in result.trajectories] == [
        (scores[t.answer],) for t in result.trajectories if t.answer
    ]


# ---- replies and templates ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "mark"),
    [
        ("[Score] 85", 85),
        ("It is fine.\n[Score]: -40.", -40),
        ("score: 10, no: the sign is wrong.\nScore: **-12.5**", -12.5),
        ("[score] +7/100", 7),
        ("Score: 70 - a fair answer", 70),
        (" \N{MINUS SIGN}100\n", -100),
        ("[Score] N", None),
        ("[Score] 101", None),
        ("[Score] 8/10", None),
        ("[Score] 80%", None),
        ("[Score] -100 to 100", None),
        ("Score: 60-70", None),
        ("[Score] 1000", None),
        ("[Score] 1.2.3", None),
        ("I give 70.", None),
        ("scores 70", None),
        ("__import__('os')", None),
        ("", None),
    ],
)
def test_marks_are_read_strictly(reply: str, mark: float | None) -> None:
    assert read_mark(reply) == mark


def test_a_template_is_filled_in_one_pass() -> None:
    assert (
        fill("{problem} {answer} {x y} {}", problem="{answer}", answer="{problem}{0}%s")
        == "{answer} {problem}{0}%s {x y} {}"
    )
