"""Chains that a model has criticised by a principle and written anew (Constitutional AI, arXiv 2212.08073)."""

from __future__ import annotations

from collections.abc import Container

from o1kit.errors import DataError
from o1kit.functional.keys import derive
from o1kit.functional.prompts import fill
from o1kit.protocols import Span
from o1kit.report.label_schema import LabelRecord
from o1kit.stages.labels.config import RevisionLabelsConfig
from o1kit.stages.labels.desk import Desk, is_right
from o1kit.types import Problem, State


class Revision:
    """Revises the chains of another source, each by principles drawn at random. Prompts hold no right answer.

    Args:
        config: the recipe's section.
        desk: whose policy is asked, and whose verifier marks what it writes.
        known: names of the problems that the verifier knows.
    """

    def __init__(self, config: RevisionLabelsConfig, desk: Desk, known: Container[str]) -> None:
        self.config, self.desk, self.known = config, desk, known
        self.stats = {"unchanged": 0, "not_asked": 0}

    async def label(self, index: int, record: LabelRecord) -> list[LabelRecord]:
        """The revised chain with the verifier's verdict at its end; nothing where it is the same, or did not fit."""
        key, spent = derive(self.desk.seed, index), 0
        text, revised = "".join(record.steps), None
        for number in range(self.config.rounds):
            found = await self._revise(record, text, derive(key, number))
            if found is None:
                self.stats["not_asked"] += 1
                break
            revised, tokens = found
            text, spent = revised.text, spent + tokens
        if revised is None:
            return []
        if text.strip() == "".join(record.steps).strip():
            self.stats["unchanged"] += 1
            return []
        return [await self._record(record, revised, spent)]

    async def _revise(self, record: LabelRecord, chain: str, key: int) -> tuple[State, int] | None:
        """The chain written anew, as an answer to a prompt of its own, and the tokens of critique and revision."""
        config, policy = self.config, self.desk.policy
        principle = config.principles[derive(key, 0) % len(config.principles)]
        texts = {"problem": record.prompt, "chain": chain.strip(), "principle": principle}
        try:
            start = policy.start(Problem(record.problem, config.kind, fill(config.critique_prompt, **texts)))
            (critique,) = await policy.propose(
                start, 1, key=derive(key, 1), decoding=config.decoding, span=Span(max_tokens=config.critique_tokens)
            )
            prompt = fill(config.revision_prompt, **texts, critique=critique.text.strip())
            start = policy.start(Problem(record.problem, config.kind, prompt))
            (revised,) = await policy.complete(start, 1, key=derive(key, 2), decoding=config.decoding)
        except DataError:
            return None
        written = len(revised.token_ids) - len(revised.prompt_ids)
        return revised, len(critique.completion.token_ids) + written

    async def _record(self, record: LabelRecord, revised: State, tokens: int) -> LabelRecord:
        """The revision as a chain of the problem itself."""
        ids = tuple(record.prompt_ids) or self.desk.policy.start(_problem(record)).prompt_ids
        state = State(_problem(record), ids, revised.actions)
        # Of a problem from elsewhere the splits know no answer.
        mark = await self.desk.mark(state) if record.problem in self.known else None
        made = {"source": self.config.kind, "completions": 0, "estimate": "", "judge": self.desk.fingerprint}
        return LabelRecord(
            problem=record.problem,
            prompt=record.prompt,
            steps=[action.text for action in state.actions],
            labels=[*[None] * (len(state.actions) - 1), mark],
            correct=is_right(mark),
            prompt_ids=list(ids),
            step_ids=[list(action.completion.token_ids) for action in state.actions],
            revised=record.steps,
            revised_ids=record.step_ids,
            tokens=tokens,
            provenance=record.provenance.model_copy(update=made | {"seed": self.desk.seed}),
        )


def _problem(record: LabelRecord) -> Problem:
    return Problem(record.problem, "labels", record.prompt)
