"""What judges answers: the policy's own marks, a reward model, or a question about two of them.

`mark` gives a mark for one answer as a `Score` in [0, 1] (-100 is 0, 100 is 1) and `prefer` the probability that one is
better than another. Where a model's reply says neither, the outcome is `error`, or the probability None.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from o1kit.decoding import Decoding
from o1kit.functional.aggregation import aggregate
from o1kit.functional.marks import as_share, read_mark
from o1kit.functional.preference import bradley_terry, symmetrised, yes_share
from o1kit.functional.prompts import fill
from o1kit.functional.refine import suppressed
from o1kit.protocols import RankingReward, Span, StepReward
from o1kit.search.noise import derive
from o1kit.search.self_refine.config import JudgeScoreConfig, PairwiseConfig, SelfScoreConfig
from o1kit.search.self_refine.desk import Desk
from o1kit.search.self_refine.tree import Answer
from o1kit.types import Score, State


class Marker(Protocol):
    """Marks single answers."""

    async def mark(self, node: Answer, key: int) -> Score:
        """One mark, in [0, 1]."""
        ...


class Ranker(Protocol):
    """Compares answers."""

    async def prefer(self, first: Answer, second: Answer) -> float | None:
        """P(first is better), or None."""
        ...


@dataclass(eq=False)
class SelfScore:
    """The policy's own marks."""

    config: SelfScoreConfig
    desk: Desk

    async def mark(self, node: Answer, key: int) -> Score:
        """A mark sampled anew; as many replies as it takes, within `retries`."""
        prompt = fill(self.config.prompt, problem=self.desk.problem.prompt, answer=node.text)
        span, decoding = Span(max_tokens=self.config.max_tokens), self.desk.config.decoding
        for attempt in range(self.config.retries + 1):
            reply = await self.desk.ask(self.desk.policy, prompt, span, derive(key, attempt), decoding)
            if reply is None:
                break  # a prompt that does not fit never will
            found = read_mark(reply.text)
            if found is not None:
                found = suppressed(found, self.config.suppress_above, self.config.suppressed_score)
                return Score(as_share(found), "self_score")
        return Score(0.0, "self_score", outcome="error")


@dataclass(eq=False)
class JudgeScore:
    """The scores of the stage's judge, each computed once; answers are compared by Bradley and Terry's model."""

    config: JudgeScoreConfig
    desk: Desk
    reward: StepReward
    known: dict[int, asyncio.Future[Score]] = field(default_factory=dict)

    async def mark(self, node: Answer, key: int = 0) -> Score:
        """The aggregate of the scores after each step.

        The model was trained on chains that follow the problem, so the answer is shown to it as one of these, whatever
        prompt it was written for. An answer that no model wrote is worth what the bare problem is.
        """
        if node.id not in self.known:
            self.known[node.id] = asyncio.ensure_future(self._read(node))
        return await self.known[node.id]

    async def _read(self, node: Answer) -> Score:
        root = self.desk.root
        if node.dummy:
            return Score((await self.reward.score(root)).value, "judge")
        state = State(root.problem, root.prompt_ids, node.state.actions)
        node.step_scores = await self.reward.step_scores(state)
        self.desk.charge_scored(len(state.token_ids) - len(root.token_ids))
        return Score(aggregate(self.config.aggregate, node.step_scores), "judge")

    async def prefer(self, first: Answer, second: Answer) -> float | None:
        """P(first > second): what the judge says if it compares chains, else p(1 - q) / (p(1 - q) + q(1 - p))."""
        if isinstance(self.reward, RankingReward) and not (first.dummy or second.dummy):
            root = self.desk.root
            states = [State(root.problem, root.prompt_ids, node.state.actions) for node in (first, second)]
            self.desk.charge_scored(sum(len(state.token_ids) - len(root.token_ids) for state in states))
            return await self.reward.prefer(*states)
        one, other = [(await self.mark(node)).value for node in (first, second)]
        return bradley_terry(one, other)


@dataclass(eq=False)
class Pairwise:
    """A model's word on two answers, asked in both orders."""

    config: PairwiseConfig
    desk: Desk

    async def prefer(self, first: Answer, second: Answer) -> float | None:
        """(P(first > second) + 1 - P(second > first)) / 2; None where neither Yes nor No is likely."""
        return symmetrised(*await asyncio.gather(self._yes(first, second), self._yes(second, first)))

    async def _yes(self, first: Answer, second: Answer) -> float | None:
        problem = self.desk.problem.prompt
        prompt = fill(self.config.prompt, problem=problem, first=first.text, second=second.text)
        model = self.desk.policy.named(self.config.model or "")
        decoding = Decoding(greedy=True, alternatives=self.config.alternatives)
        reply = await self.desk.ask(model, prompt, Span(max_tokens=1), 0, decoding)
        if reply is None or not reply.completion.alternatives:
            return None
        return yes_share((model.text((token,)), logprob) for token, logprob in reply.completion.alternatives[0])
