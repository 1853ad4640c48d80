"""`SftData`: teacher chains as token rows in batches of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from o1kit.engines.policy import DELIMITER, PromptTemplate
from o1kit.errors import DataError
from o1kit.functional.answers import find_answer
from o1kit.stages.sequences import LengthBucketedBatches, Row, pad
from o1kit.stages.sft.config import MistakesConfig, SftConfig
from o1kit.stages.start import teacher_of
from o1kit.tasks.suite import Suite
from o1kit.types import Problem


class SftData(L.LightningDataModule):
    """Rows of the `train` split. A continued run goes on at the batch where it stopped."""

    def __init__(self, config: SftConfig, suite: Suite, template: PromptTemplate, context: int, seed: int) -> None:
        super().__init__()
        self.config, self.suite, self.template, self.context, self.seed = config, suite, template, context, seed
        self.rows: list[Row] = []
        self._start = 0

    def setup(self, stage: str) -> None:
        """Writes and encodes every chain."""
        if not self.rows:
            self.rows = [encode_row(self.template, problem, steps, self.context) for problem, steps in self.chains()]

    def chains(self, split: str = "train") -> Iterator[tuple[Problem, list[str]]]:
        """The problems of a split, each with its chain of thought."""
        teachers: dict[str, Any] = {}
        rng = Random(self.seed)
        for problem in self.suite.problems(split):
            yield problem, self._chain(problem, teachers, rng)

    def _chain(self, problem: Problem, teachers: dict[str, Any], rng: Random) -> list[str]:
        truth = self.suite.truth(problem)
        name = self.suite.teacher_of(problem)
        if name is None:
            thought = truth.payload.get("thought") or ()
            assert isinstance(thought, list | tuple)
            return told(thought, truth.answer)
        if name not in teachers:
            teachers[name] = teacher_of(name)
        mistakes = draw_mistakes(self.config.mistakes, rng)
        steps: list[str] = teachers[name].trace(truth, problem.prompt, mistakes, rng.randrange(2**31))
        return steps

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of (token_ids_BT, mask_BT)."""
        lengths = [len(row.token_ids) for row in self.rows]
        batches = LengthBucketedBatches(lengths, self.config.batch_size, self.config.steps, self.seed)
        batches.start = self._start
        return DataLoader(self.rows, batch_sampler=batches, collate_fn=collate)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """Where in the order of batches the run is."""
        return {"batch": self.trainer.global_step if self.trainer is not None else 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on at the saved batch."""
        self._start = int(state_dict["batch"])


def draw_mistakes(config: MistakesConfig, rng: Random) -> list[str]:
    """Which mistakes one chain gets."""
    rates = (("noticed", config.noticed), ("unnoticed", config.unnoticed))
    return [kind for kind, rate in rates if rng.random() < rate]


def told(thought: Sequence[str], answer: str) -> list[str]:
    """The steps of a chain that a file brings, ending in the answer: stated by its last step already, or added."""
    if thought and find_answer(thought[-1]) == answer:
        return [*(f"{step}{DELIMITER}" for step in thought[:-1]), thought[-1]]
    return [*(f"{step}{DELIMITER}" for step in thought), f"The answer is {answer}"]


def encode_row(template: PromptTemplate, problem: Problem, steps: Sequence[str], context: int) -> Row:
    """Prompt, chain and end-of-text as one row.

    Raises:
        DataError: the row is longer than the model's context, or has no prompt or no chain to learn.
    """
    prompt = template.prompt(problem)
    chain = [*template.encode("".join(steps)), template.eos_id]
    if not prompt or len(chain) < 2:
        raise DataError(f"problem {problem.id}: a training row needs both a prompt and a chain of thought.")
    if len(prompt) + len(chain) > context:
        raise DataError(
            f"problem {problem.id}: {len(prompt)} prompt and {len(chain)} chain tokens do not fit the model's context "
            f"of {context}. Raise model.context_length or make the problems smaller."
        )
    return Row([*prompt, *chain], len(prompt))


def collate(rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """(token_ids_BT, mask_BT), the mask True on chain tokens."""
    token_ids_BT = pad([row.token_ids for row in rows])
    position_T = torch.arange(token_ids_BT.shape[1])
    prompts_B = torch.tensor([row.prompt_length for row in rows])
    lengths_B = torch.tensor([len(row.token_ids) for row in rows])
    return token_ids_BT, (position_T >= prompts_B[:, None]) & (position_T < lengths_B[:, None])
