"""The candidates that generator and critic play for: sampled chains, their answers, and who believes in them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from o1kit.decoding import Decoding
from o1kit.errors import DataError
from o1kit.functional.aggregation import aggregate
from o1kit.functional.preference import yes_share
from o1kit.protocols import Policy, Span, StepReward
from o1kit.search.answers import voices
from o1kit.search.cfr.config import CandidatesConfig
from o1kit.search.config import CfrConfig
from o1kit.search.noise import derive
from o1kit.search.sample import generated
from o1kit.search.tree import described
from o1kit.types import Action, Problem, State, Trajectory, TreeNode, Usage

ROUND = 4
"""Samples that are made between two looks at a budget in tokens."""
_PLACE = re.compile(r"\{(problem|answer|solution)\}")
UNKNOWN = 0.5
"""The belief in what could not be asked about."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer: how many chains state it, their share of all chains with an answer, and how likely it is right."""

    answer: str
    count: int
    share: float
    belief: float


@dataclass(frozen=True, slots=True)
class Candidates:
    """All chains, the different answers among them, and what they took."""

    chains: tuple[Trajectory, ...]
    answers: tuple[Candidate, ...]
    usage: Usage
    stats: dict[str, float]

    def best(self, weights: Sequence[float]) -> str | None:
        """The answer of the largest weight, the first one at a tie; None without candidates."""
        if not self.answers:
            return None
        return self.answers[max(range(len(weights)), key=lambda i: weights[i])].answer

    def tree(self, strategy: Sequence[float]) -> tuple[TreeNode, ...]:
        """For reports: the root, one node for each answer with its probability in a strategy, and the chains below."""
        total = len(self.chains)
        mean = sum(chain.score for chain in self.chains) / total
        nodes = [TreeNode(0, None, "", total, mean, 1.0, False)]
        for i, (one, share) in enumerate(zip(self.answers, strategy, strict=True), 1):
            node = TreeNode(i, 0, one.answer, one.count, one.belief, one.share, False, one.answer, unit="answer")
            nodes.append(replace(node, avg_strategy=share))
        numbers = {one.answer: i for i, one in enumerate(self.answers, 1)}
        for chain, voice in zip(self.chains, voices(self.chains), strict=True):
            parent, answer = numbers.get(voice or "", 0), chain.answer
            share = 1 / (nodes[parent].visits or 1)
            node = TreeNode(len(nodes), parent, "", 1, chain.score, share, True, answer)
            nodes.append(described(node, chain.state.actions, "chain"))
        return tuple(nodes)


async def gather_candidates(
    config: CfrConfig, mode: CandidatesConfig, root: State, *, policy: Policy, reward: StepReward | None, key: int
) -> Candidates:
    """Samples chains, has them judged, and collects their answers in the order in which they came up."""
    states: list[State] = []
    while len(states) < mode.num_samples and not _spent(config, generated(states, root)):
        count = mode.num_samples - len(states)
        if config.token_budget is not None:
            count = min(count, ROUND)
        first = len(states)
        states += await policy.complete(root, count, key=key, decoding=config.decoding, first=first)
    usage = generated(states, root)
    stats: dict[str, float] = {}
    if mode.judge == "judge":
        assert reward is not None
        lines = await asyncio.gather(*(reward.step_scores(state) for state in states))
        scores = [aggregate(mode.aggregate, line) for line in lines]
        usage += Usage(scored=usage.generated)
    else:
        lines = [()] * len(states)
        judge = _Prompted(mode, policy.named(mode.critic or ""))
        scores, unasked = await judge.beliefs(states, derive(key, 1), _spent(config, usage))
        usage += judge.usage
        stats["unasked"] = unasked
    chains = tuple(
        Trajectory(state, policy.answer(state), score, line)
        for state, score, line in zip(states, scores, lines, strict=True)
    )
    return Candidates(chains, _answers(chains), usage, stats)


def _spent(config: CfrConfig, usage: Usage) -> bool:
    return config.token_budget is not None and usage.generated >= config.token_budget


def _answers(chains: Sequence[Trajectory]) -> tuple[Candidate, ...]:
    scores: dict[str, list[float]] = {}
    for chain, answer in zip(chains, voices(chains), strict=True):
        if answer is not None:
            scores.setdefault(answer, []).append(chain.score)
    total = sum(map(len, scores.values()))
    return tuple(Candidate(a, len(s), len(s) / total, sum(s) / len(s)) for a, s in scores.items())


class _Prompted:
    """A language model that is asked whether answers are right: P(Yes) / (P(Yes) + P(No)) of its first token."""

    def __init__(self, mode: CandidatesConfig, model: Policy) -> None:
        self.mode, self.model = mode, model
        self.usage = Usage()

    async def beliefs(self, states: Sequence[State], key: int, spent: bool) -> tuple[list[float], float]:
        """The belief in each chain and the share of questions that could not be asked; equal questions are one."""
        questions = [self._question(state) for state in states]
        unique = list(dict.fromkeys(q for q in questions if q is not None))
        replies = [None] * len(unique) if spent else await asyncio.gather(*(self._ask(q, key) for q in unique))
        found = {q: self._read(reply) for q, reply in zip(unique, replies, strict=True)}
        unasked = sum(reply is None for reply in replies) / max(len(unique), 1)
        return [0.0 if q is None else found[q] for q in questions], unasked

    def _question(self, state: State) -> Problem | None:
        """What is asked about a chain; nothing about one without an answer."""
        answer, problem = self.model.answer(state), state.problem
        if answer is None:
            return None
        filled = {"problem": problem.prompt, "answer": answer, "solution": state.text}
        text = _PLACE.sub(lambda place: filled[place[1]], self.mode.question)  # in one pass: answers may hold braces
        return Problem(problem.id, problem.task, text)

    async def _ask(self, question: Problem, key: int) -> Action | None:
        """The first token of the reply; None where the question does not fit the model."""
        decoding = Decoding(greedy=True, alternatives=self.mode.alternatives)
        root = self.model.start(question)
        try:
            (reply,) = await self.model.propose(root, 1, key=key, decoding=decoding, span=Span(max_tokens=1))
        except DataError:
            return None
        self.usage += Usage(prompt=len(root.token_ids), generated=len(reply.completion.token_ids))
        return reply

    def _read(self, reply: Action | None) -> float:
        if reply is None:
            return UNKNOWN
        drawn = ((reply.completion.token_ids[0], 0.0),)  # all there is from a server that reports no alternatives
        tokens = reply.completion.alternatives[0] if reply.completion.alternatives else drawn
        share = yes_share((self.model.text((token,)), logprob) for token, logprob in tokens)
        return UNKNOWN if share is None else share
