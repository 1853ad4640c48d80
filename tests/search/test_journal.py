"""The journal: what was asked before is not asked again, whatever the search; damaged and foreign files are named."""

from __future__ import annotations

import asyncio
import errno
import json
import math
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from o1kit.decoding import Decoding
from o1kit.engines.policy import LanguagePolicy
from o1kit.errors import DataError, ResourceError, RewardFailure
from o1kit.protocols import Span
from o1kit.rewards.prm import PrmReward
from o1kit.search.journal import Asked, Journal, Journals
from o1kit.search.journaled import JournaledPolicy, JournaledReward, asked
from o1kit.search.replies import actions_from, pack, plain_actions, unpack
from o1kit.types import Action, Completion, Score, SearchResult, State
from tests.search.test_searches import JUDGE, MODEL, SEARCHES, TEMPLATE
from tests.tiny import engine_of, policy_of, problem

HEADER = {"recipe_hash": "abc", "stage": "rollout", "policy": "sft", "search": "mcts", "seed": 1}


def everything(actions: list[Action]) -> list[Action]:
    return actions_from(json.loads(json.dumps(plain_actions(actions))))


def test_replies_come_back_to_the_last_bit() -> None:
    rng = random.Random(0)
    for _ in range(200):
        n = rng.randrange(4)
        floats = [rng.choice([rng.gauss(0, 1), 0.5, -0.0, 1e-320, -math.inf]) for _ in range(n)]
        made = Completion(
            tuple(rng.randrange(2**31) for _ in range(n)),
            tuple(floats),
            rng.choice(["step", "answer", "length", "context"]),
            rng.choice([(), tuple(floats)]),
            rng.choice([(), tuple(((5, -0.1), (7, x)) for x in floats)]),
            rng.randrange(2),
        )
        action = Action(rng.choice(["", 'quote "\n', "é\x00\ud800"]), made, rng.choice(["", "rethink"]))
        assert everything([action, action]) == [action, action]
    assert math.copysign(1, unpack(pack([-0.0]))[0]) == -1
    assert math.isnan(unpack(pack([math.nan]))[0])
    assert pack([0.5, 0.25])[0] == "f" and pack([0.1])[0] == "d", "32 bits only where they are exact"


class Gone:
    """A policy and reward that can no longer be asked."""

    def __init__(self, policy: Any) -> None:
        self.start, self.answer = policy.start, policy.answer

    async def propose(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("asked again")

    complete = score = step_scores = propose


def parts() -> tuple[LanguagePolicy, PrmReward]:
    return policy_of(MODEL, TEMPLATE), PrmReward(engine_of(JUDGE, TEMPLATE))


def run(search: Any, journal: Journal, policy: Any, reward: Any) -> list[SearchResult]:
    """Two problems, searched together."""
    journaled, judge = JournaledPolicy(policy, journal), JournaledReward(reward, journal, "prm")

    async def both() -> list[SearchResult]:
        roots = [journaled.start(problem(text, text)) for text in ("1+1=?", "2+1=?")]
        return await asyncio.gather(
            *(search.run(root, policy=journaled, reward=judge, key=i) for i, root in enumerate(roots))
        )

    return asyncio.run(both())


def shape(results: list[SearchResult]) -> Any:
    """All of a result but its floats, whose last bits depend on what was computed together."""
    nodes = [
        [
            replace(n, value=0.0, estimate=0.0, logprobs=(), prior=round(n.prior, 6), regret=None, avg_strategy=None)
            for n in r.tree
        ]
        for r in results
    ]
    return nodes, [(r.answers, r.usage, [(t.state.token_ids, t.visits) for t in r.trajectories]) for r in results]


@pytest.mark.parametrize("name", SEARCHES)
def test_every_search_resumes_to_the_identical_result(name: str, tmp_path: Path) -> None:
    search, path = SEARCHES[name], tmp_path / "j.jsonl"
    policy, prm = parts()
    with Journal(path, HEADER) as journal:
        expected = run(search, journal, policy, prm)
        assert journal.reused == 0 and journal.recorded > 0
    spent = dict(policy.engine.ledger.entries), dict(prm.engine.ledger.entries)
    whole = path.read_bytes()
    with Journal(path, HEADER) as journal:
        gone, other = Gone(policy), Gone(policy)
        fresh = parts()
        gone.engine, other.engine = fresh[0].engine, fresh[1].engine  # type: ignore[attr-defined]
        assert run(search, journal, gone, other) == expected, "bit for bit, nothing computed"
        assert journal.recorded == 0
        assert journal.reused_tokens == sum(r.usage.generated for r in expected)
    assert (dict(fresh[0].engine.ledger.entries), dict(fresh[1].engine.ledger.entries)) == spent
    assert path.read_bytes() == whole
    cut = random.Random(name).randrange(whole.index(b"\n") + 1, len(whole))
    path.write_bytes(whole[:cut])  # killed in the middle of a line
    policy, prm = parts()
    with Journal(path, HEADER) as journal:
        assert shape(run(search, journal, policy, prm)) == shape(expected)
        lines = whole[:cut].count(b"\n") - 1
        assert journal.reused == lines and journal.recorded == whole.count(b"\n") - 1 - lines


def test_a_search_does_not_notice_the_journal(tmp_path: Path) -> None:
    policy, prm = parts()
    root = policy.start(problem("1+1=?", "1+1=?"))
    plain = asyncio.run(SEARCHES["mcts"].run(root, policy=policy, reward=prm, key=0))
    with Journal(tmp_path / "j.jsonl", HEADER) as journal:
        assert shape(run(SEARCHES["mcts"], journal, *parts())[:1]) == shape([plain])


def test_every_part_of_a_question_makes_another_one() -> None:
    steps = tuple(Action(t, Completion((i,), (0.0,), "step")) for i, t in enumerate("ab"))
    state = State(problem(), (1, 2), steps)
    ended = replace(steps[1], completion=replace(steps[1].completion, finish="answer"))
    joined = Action("ab", Completion((0, 1), (0.0, 0.0), "step"))
    questions = [
        asked("propose", state, "", 3, 7, Decoding(), Span()),
        asked("complete", state, "", 3, 7, Decoding(), Span()),
        asked("propose", state, "other", 3, 7, Decoding(), Span()),
        asked("propose", state, "", 2, 7, Decoding(), Span()),
        asked("propose", state, "", 3, 8, Decoding(), Span()),
        asked("propose", state, "", 3, 7, Decoding(temperature=0.5), Span()),
        asked("propose", state, "", 3, 7, Decoding(), Span(hint="x")),
        asked("propose", replace(state, problem=problem(name="q")), "", 3, 7, Decoding(), Span()),
        asked("propose", replace(state, prompt_ids=(1, 3)), "", 3, 7, Decoding(), Span()),
        asked("propose", replace(state, actions=steps[:1]), "", 3, 7, Decoding(), Span()),
        asked("propose", replace(state, actions=(joined,)), "", 3, 7, Decoding(), Span()),
        asked("propose", replace(state, actions=(steps[0], ended)), "", 3, 7, Decoding(), Span()),
    ]
    assert len({question.of for question in questions}) == len(questions)
    assert questions[0] == asked("propose", state, "", 3, 7, Decoding(), Span())


def test_equal_questions_get_their_answers_in_order_and_each_once(tmp_path: Path) -> None:
    question = Asked("00", "p", "score")
    with Journal(tmp_path / "j", HEADER) as journal:
        for i in range(3):
            journal.put(question, reply=i)
    with Journal(tmp_path / "j", HEADER) as journal:
        rows = [journal.take(question) for _ in range(4)]
    assert [row["reply"] if row else None for row in rows] == [0, 1, 2, None]


def test_models_of_other_stages_are_recorded_under_their_names(tmp_path: Path) -> None:
    class Two:
        def __init__(self, text: str) -> None:
            self.text = text

        def named(self, model: str) -> Two:
            return Two(model)

        async def propose(self, state: State, n: int, **_: Any) -> list[Action]:
            return [Action(self.text, Completion((1,), (0.0,), "step"))] * n

    def ask(journal: Journal, policy: Any) -> list[str]:
        door = JournaledPolicy(policy, journal)
        doors = [door, door.named("a"), door.named("b"), door.named("")]
        root = State(problem(), (1,))
        return [asyncio.run(d.propose(root, 1, key=0))[0].text for d in doors]

    with Journal(tmp_path / "j", HEADER) as journal:
        assert ask(journal, Two("own")) == ["own", "a", "b", "own"]
    with Journal(tmp_path / "j", HEADER) as journal:
        changed = Two("changed")
        changed.named = lambda _: changed  # type: ignore[method-assign]
        assert ask(journal, changed) == ["own", "a", "b", "own"]


def filled(path: Path, lines: int = 4) -> list[bytes]:
    with Journal(path, HEADER) as journal:
        for i in range(lines):
            journal.put(Asked(f"{i:02x}", "p", "score"), reply=i)
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b"garbage", b'{"of":"02"', "other digit"])
def test_a_damaged_line_in_the_middle_is_named(damage: Any, tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    lines = filled(path)
    lines[2] = lines[2].replace(b'"reply":1', b'"reply":7') if isinstance(damage, str) else damage + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(DataError, match=r"j\.jsonl:3: damaged\. Delete the file; what it holds is then computed again"):
        Journal(path, HEADER)


def test_a_reply_of_another_form_is_named(tmp_path: Path) -> None:
    path, root = tmp_path / "j.jsonl", State(problem(), (1,))
    wrong: list[Any] = [
        7,
        [[["text"]]],
        [[["t", ["a"], "", "step"]]],
        [[["t", [1], "x!", "step"]]],
        [[["t", [1], "", "?"]]],
    ]
    for reply in wrong:
        path.unlink(missing_ok=True)
        with Journal(path, HEADER) as journal:
            journal.put(asked("propose", root, "", 1, 0, Decoding(), Span()), reply=reply, used=[])
        with Journal(path, HEADER) as journal, pytest.raises(DataError, match=r"j\.jsonl:2: damaged"):
            asyncio.run(JournaledPolicy(Gone(policy_of(MODEL, TEMPLATE)), journal).propose(root, 1, key=0))


@pytest.mark.parametrize("keep", [1, 5, 30])
def test_a_torn_last_line_is_dropped(keep: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "j.jsonl"
    lines = filled(path)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:keep])
    with Journal(path, HEADER) as journal:
        assert "resuming: 2 replies" in capsys.readouterr().out
        journal.put(Asked("02", "p", "score"), reply=2)
    assert path.read_bytes() == b"".join(lines[:4])
    path.write_bytes(lines[0][:keep])
    with Journal(path, HEADER):
        assert path.read_bytes() == lines[0], "begun anew"


def test_a_disk_that_fills_up_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "j.jsonl", os.write
    lines = filled(path)

    def half(file: int, data: bytes) -> int:
        write(file, data[:9])
        raise OSError(errno.ENOSPC, "No space left on device")

    with Journal(path, HEADER) as journal:
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(ResourceError, match="no space left"):
            journal.put(Asked("ff", "p", "score"), reply=1)
        monkeypatch.undo()
        assert path.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("key", HEADER)
def test_the_journal_of_something_else_is_set_aside(key: str, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "j.jsonl"
    lines = filled(path)
    with Journal(path, HEADER | {key: "another"}) as journal:
        assert journal.take(Asked("00", "p", "score")) is None
    assert f"j.jsonl has another {key}: it is not used and is now j.jsonl.other" in capsys.readouterr().out
    assert (tmp_path / "j.jsonl.other").read_bytes() == b"".join(lines)
    path.write_text('{"something": "else"}\n')
    Journal(path, HEADER).close()
    assert "no header that can be read" in capsys.readouterr().out


class Fails:
    """A reward that fails so many times."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def score(self, state: State) -> Score:
        self.times -= 1
        if self.times >= 0:
            raise RewardFailure("no reply", "timeout")
        return Score(0.25, "planted", outcome="ok")

    async def step_scores(self, state: State) -> tuple[float, ...]:
        return tuple([(await self.score(state)).value] * len(state.actions))


def test_a_failure_is_kept_until_the_stage_gives_up(tmp_path: Path) -> None:
    """A killed run meets the same failure again, and so the same tree; one that gave up asks again."""
    root = State(problem(), (1,), (Action("a", Completion((2,), (0.0,), "step")),))
    journals = Journals(tmp_path, stage="s")

    def ask(times: int) -> Any:
        with journals.open("0") as journal:
            reward = JournaledReward(Fails(times), journal, "prm")  # type: ignore[arg-type]
            outcomes = []
            for ask in (reward.score, reward.step_scores):
                try:
                    outcomes.append(asyncio.run(ask(root)))  # type: ignore[operator]
                except RewardFailure as error:
                    outcomes.append((str(error), error.outcome))
            return outcomes

    failure = ("no reply", "timeout")
    score = Score(0.25, "planted")
    assert ask(1) == [failure, (0.25,)]
    assert ask(0) == [failure, (0.25,)]
    with pytest.raises(RewardFailure), journals.open("1"):
        raise RewardFailure("too many")
    assert ask(0) == [score, (0.25,)]
    assert ask(9) == [score, (0.25,)]
    assert journals.summary == {"recorded": 3, "reused": 5, "reused_tokens": 0}
    journals.drop("0")
    assert [path.name for path in tmp_path.iterdir()] == ["journal-1.jsonl"]
