"""`Desk`: all that a source of labels works with: problems, a policy, a verifier, and what is noted of where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from o1kit.protocols import Policy, Reward
from o1kit.report.label_schema import LabelRecord, Provenance
from o1kit.stages.labels.config import SampledSource
from o1kit.types import Problem, State


@dataclass(frozen=True)
class Desk:
    """What labels are made with. The verifier sees finished chains only, and nothing of it reaches the policy."""

    policy: Policy
    verifier: Reward
    problems: Sequence[Problem]
    """Problems of the split, in order; a source takes the first ones."""
    seed: int
    fingerprint: str = ""
    """Of the policy's stage."""

    def provenance(self, config: SampledSource) -> Provenance:
        """What labels that are sampled here say of where they come from."""
        return Provenance(
            source=config.kind,
            policy=self.fingerprint,
            completions=config.completions,
            temperature=config.temperature,
            estimate=config.estimate,
            seed=self.seed,
        )

    async def mark(self, state: State) -> float | None:
        """1 for a right answer, 0 for a wrong one or none; None where the verifier could not say."""
        score = await self.verifier.score(state)
        return None if score.outcome in ("error", "timeout") else score.value


def mean_of(marks: Sequence[float | None]) -> float | None:
    """Share of right answers among those that were judged; None where none was."""
    known = [mark for mark in marks if mark is not None]
    return sum(known) / len(known) if known else None


def rounded(logprobs: Sequence[float | None]) -> list[float | None]:
    """Log-probabilities with the digits that a file keeps."""
    return [None if x is None else min(round(x, 4), 0.0) for x in logprobs]


def record_of(
    state: State, labels: Sequence[float | None], correct: bool | None, tokens: int, provenance: Provenance
) -> LabelRecord:
    """A sampled chain as a record; `tokens` are those generated for it and for no other record."""
    return LabelRecord(
        problem=state.problem.id,
        prompt=state.problem.prompt,
        steps=[action.text for action in state.actions],
        labels=list(labels),
        correct=correct,
        prompt_ids=list(state.prompt_ids),
        step_ids=[list(action.completion.token_ids) for action in state.actions],
        step_logprobs=[rounded(step) for step in state.step_logprobs],
        tokens=tokens,
        provenance=provenance,
    )


def end_record(state: State, mark: float | None, tokens: int, provenance: Provenance) -> LabelRecord:
    """A finished chain of which only the end is known."""
    labels = [None] * (len(state.actions) - 1) + [mark]
    return record_of(state, labels, is_right(mark), tokens, provenance)


def is_right(mark: float | None) -> bool | None:
    """A mark as a verdict."""
    return None if mark is None else mark > 0
