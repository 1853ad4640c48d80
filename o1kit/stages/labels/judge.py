"""Step labels from a model that is asked about every step."""

from __future__ import annotations

import asyncio

from o1kit.errors import DataError
from o1kit.functional.preference import yes_share
from o1kit.functional.prompts import fill
from o1kit.protocols import Span
from o1kit.report.label_schema import LabelRecord
from o1kit.stages.labels.config import JudgeLabelsConfig
from o1kit.stages.labels.desk import Desk
from o1kit.types import Problem


class Judge:
    """Labels the steps of chains that another source has sampled. The prompt holds the problem and the steps only."""

    def __init__(self, config: JudgeLabelsConfig, desk: Desk) -> None:
        self.config, self.desk = config, desk

    async def label(self, index: int, record: LabelRecord) -> list[LabelRecord]:
        """The same chain with the judge's labels; its provenance keeps what is known of the chain."""
        answers = await asyncio.gather(*(self._ask(record, k) for k in range(len(record.steps))))
        made = {
            "source": self.config.kind,
            "completions": 0,
            "estimate": self.config.estimate,
            "judge": self.desk.fingerprint,
            "seed": self.desk.seed,
        }
        provenance = record.provenance.model_copy(update=made)
        labels = [self._label(share) for share, _ in answers]
        tokens = sum(spent for _, spent in answers)
        return [record.model_copy(update={"labels": labels, "tokens": tokens, "provenance": provenance})]

    async def _ask(self, record: LabelRecord, step: int) -> tuple[float | None, int]:
        """The share of Yes, and the tokens generated; None where neither word is likely or the prompt is too long."""
        prompt = fill(
            self.config.prompt,
            problem=record.prompt,
            before="".join(record.steps[:step]).rstrip("\n") or "(nothing yet)",
            step=record.steps[step].rstrip("\n"),
        )
        policy = self.desk.policy
        try:
            (reply,) = await policy.propose(
                policy.start(Problem(record.problem, "judge", prompt)),
                1,
                key=0,
                decoding=self.config.decoding,
                span=Span(max_tokens=1),
            )
        except DataError:
            return None, 0
        likely = reply.completion.alternatives[0] if reply.completion.alternatives else ()
        share = yes_share((policy.text((token,)), logprob) for token, logprob in likely)
        return share, len(reply.completion.token_ids)

    def _label(self, share: float | None) -> float | None:
        if share is None or self.config.estimate == "soft":
            return share
        return float(share >= 0.5)
