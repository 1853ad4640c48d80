"""A policy and a reward whose replies are recorded, and taken from the record when they have been given before.

They stand between a search and what it asks; the search does not notice.
"""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any, TypeVar

from o1kit.decoding import Decoding
from o1kit.errors import RewardFailure
from o1kit.ledger import Ledger, Reading, add_reading, reading
from o1kit.protocols import Policy, RankingReward, Span, StepReward
from o1kit.search.journal import Asked, Journal
from o1kit.search.replies import actions_from, pack, plain_actions, unpack
from o1kit.types import Account, Action, Phase, Problem, Score, State, Usage

T = TypeVar("T")


def asked(do: str, state: State, *more: object) -> Asked:
    """A question about a chain: what is asked for, every token and where steps end, and all that it depends on."""
    lengths = [len(action.completion.token_ids) for action in state.actions]
    end = state.actions[-1].completion.finish if state.actions else ""
    hashed = blake2b(repr((do, state.problem.id, lengths, end, *more)).encode(), digest_size=16)
    hashed.update(array("i", state.token_ids).tobytes())
    return Asked(hashed.hexdigest(), state.problem.id, do)


class Meter:
    """What a ledger was charged between two replies for the same problem and phase.

    It travels with the reply: a run that goes on charges it again, so that its figures are those of the whole search.
    """

    def __init__(self, ledger: Ledger | None) -> None:
        self.ledger = ledger
        self._entries: dict[Account, Usage] = {}
        self._last: dict[Account, Usage] = {}

    def read(self, account: Account) -> list[int]:
        """Tokens since the last reply: prompt, cached, generated, scored."""
        if self.ledger is None:
            return []
        self._follow(self.ledger)
        now = self._entries.get(account, Usage())
        spent = now - self._last.get(account, Usage())
        self._last[account] = now
        return [spent.prompt, spent.cached, spent.generated, spent.scored]

    def charge(self, account: Account, tokens: list[int]) -> int:
        """Charges what a recorded reply took, and returns how much of it was generated."""
        if self.ledger is None or not tokens:
            return 0
        self._follow(self.ledger)
        self.ledger.charge(account, Usage(*tokens))
        self._last[account] = self._last.get(account, Usage()) + Usage(*tokens)
        return tokens[2]

    def _follow(self, ledger: Ledger) -> None:
        if ledger.entries is not self._entries:  # it was emptied meanwhile
            self._entries, self._last = ledger.entries, {}


class JournaledPolicy:
    """A policy whose steps and chains are recorded."""

    def __init__(self, policy: Policy, journal: Journal, model: str = "") -> None:
        self.policy, self.journal, self.model = policy, journal, model
        engine = getattr(policy, "engine", None)
        self._meter = Meter(getattr(engine, "ledger", None))
        self._named: dict[str, JournaledPolicy] = {}

    def start(self, problem: Problem) -> State:
        """The state before the first step."""
        return self.policy.start(problem)

    def answer(self, state: State) -> str | None:
        """The final answer of a chain."""
        return self.policy.answer(state)

    def text(self, token_ids: Sequence[int]) -> str:
        """What tokens say, end-of-text left out."""
        return self.policy.text(token_ids)

    def named(self, model: str) -> Policy:
        """The same with the model of another stage, whose replies are recorded too."""
        if not model:
            return self
        if model not in self._named:
            self._named[model] = JournaledPolicy(self.policy.named(model), self.journal, model)
        return self._named[model]

    async def propose(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), span: Span = Span()
    ) -> list[Action]:
        """`n` next steps."""
        question = asked("propose", state, self.model, n, key, decoding, span)
        found = self._recorded(question, "expand")
        if found is None:
            actions = await self.policy.propose(state, n, key=key, decoding=decoding, span=span)
            self._record(question, "expand", [actions])
            return actions
        return found[0]

    async def complete(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), first: int = 0
    ) -> list[State]:
        """`n` finished chains that continue the state: samples number `first` and following."""
        question = asked("complete", state, self.model, n, key, decoding, first)
        found = self._recorded(question, "simulate")
        if found is None:
            states = await self.policy.complete(state, n, key=key, decoding=decoding, first=first)
            done = len(state.actions)
            if any(s.prompt_ids != state.prompt_ids or s.actions[:done] != state.actions for s in states):
                raise ValueError("a policy completed a chain with one that does not begin with it")
            self._record(question, "simulate", [s.actions[done:] for s in states])
            return states
        return [state.after(*actions) for actions in found]

    def _record(self, question: Asked, phase: Phase, chains: list[Any]) -> None:
        used = self._meter.read(Account(question.problem, phase))
        self.journal.put(question, reply=[plain_actions(actions) for actions in chains], used=used)

    def _recorded(self, question: Asked, phase: Phase) -> list[list[Action]] | None:
        row = self.journal.take(question)
        if row is None:
            return None
        try:
            tokens = self._meter.charge(Account(question.problem, phase), row["used"])
            self.journal.reused_tokens += tokens
            return [actions_from(actions) for actions in row["reply"]]
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise self.journal.damaged(row["line"]) from error


class JournaledReward:
    """A reward whose judgements, and failures to judge, are recorded; `name` tells several apart."""

    def __init__(self, reward: StepReward, journal: Journal, name: str) -> None:
        self.reward, self.journal, self.name = reward, journal, name
        self.engine = getattr(reward, "engine", None)
        self._meter = Meter(getattr(self.engine, "ledger", None))

    async def score(self, state: State) -> Score:
        """The score of a chain so far."""
        question = asked("score", state, self.name)
        row = self._recorded(question)
        if row is not None:
            return self._read(row, lambda reply: Score(unpack(reply[0])[0], *reply[1:]))
        score, own = await self._ask(question, self.reward.score(state))
        self._put(question, own, reply=[pack([score.value]), score.source, score.oracle, score.outcome])
        return score

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """The score after each step."""
        question = asked("step_scores", state, self.name)
        row = self._recorded(question)
        if row is not None:
            return self._read(row, unpack)
        scores, own = await self._ask(question, self.reward.step_scores(state))
        self._put(question, own, reply=pack(scores))
        return scores

    async def _ask(self, question: Asked, judging: Awaitable[T]) -> tuple[T, Reading]:
        """A judgement and what was read for it; that it failed is recorded."""
        with reading() as own:
            try:
                return await judging, own
            except RewardFailure as error:
                self._put(question, own, failed=str(error), outcome=error.outcome)
                raise

    def _put(self, question: Asked, own: Reading, **fields: Any) -> None:
        used = self._meter.read(Account(question.problem, "score"))
        self.journal.put(question, **fields, used=used, read=own.tokens)

    def _recorded(self, question: Asked) -> Any:
        """What is recorded of a judgement, its tokens charged.

        Raises:
            RewardFailure: the judgement failed.
        """
        row = self.journal.take(question)
        if row is None:
            return None
        account = Account(question.problem, "score", reading=None)
        self._read(row, lambda _: self._meter.charge(account, row["used"]), "used")
        add_reading(Reading(row.get("read", 0)))
        if "failed" in row:
            raise RewardFailure(str(row["failed"]), row.get("outcome", "error"))
        return row

    def _read(self, row: Any, read: Callable[[Any], T], field: str = "reply") -> T:
        try:
            return read(row[field])
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise self.journal.damaged(row["line"]) from error


class JournaledRanking(JournaledReward):
    """The same for a reward that compares chains."""

    reward: RankingReward

    def __init__(self, reward: RankingReward, journal: Journal, name: str) -> None:
        super().__init__(reward, journal, name)

    async def prefer(self, first: State, second: State) -> float | None:
        """The probability that the first chain is better."""
        question = asked("prefer", first, self.name, len(first.prompt_ids), second.token_ids)
        row = self._recorded(question)
        if row is not None:
            return self._read(row, lambda reply: None if reply is None else unpack(reply)[0])
        found, own = await self._ask(question, self.reward.prefer(first, second))
        self._put(question, own, reply=None if found is None else pack([found]))
        return found


def journaled(reward: StepReward, journal: Journal, name: str) -> JournaledReward:
    """The reward with its judgements recorded, comparisons too if it makes any."""
    if isinstance(reward, RankingReward):
        return JournaledRanking(reward, journal, name)
    return JournaledReward(reward, journal, name)
