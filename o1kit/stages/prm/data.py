"""`PrmData`: labelled chains as batches; the labels are kept on disk, so a continued run does not sample them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from o1kit.artifacts import write_atomic
from o1kit.engines.policy import PromptTemplate
from o1kit.errors import DataError
from o1kit.functional.statistics import expected_calibration_error, f1, roc_auc
from o1kit.models.language_model import LanguageModel
from o1kit.stages.labels.chains import LabelledChain, chains_of
from o1kit.stages.labels.desk import Desk
from o1kit.stages.labels.write import write_labels
from o1kit.stages.prm.config import PrmConfig
from o1kit.stages.sequences import LengthBucketedBatches, pad, pad_floats

FILE = "rollouts.jsonl"
HELD_OUT = 10
"""One problem in this many is kept out of training, to measure the model on."""


class PrmData(L.LightningDataModule):
    """Batches of (token_ids_BT, labels_BT, mask_BT); the mask is True at the last token of each step."""

    def __init__(self, config: PrmConfig, desk: Desk, template: PromptTemplate, directory: Path, seed: int) -> None:
        super().__init__()
        self.config, self.desk, self.template, self.seed = config, desk, template, seed
        self.path = directory / FILE
        self.train_chains: list[LabelledChain] = []
        self.heldout_chains: list[LabelledChain] = []
        self._start = 0

    def setup(self, stage: str) -> None:
        """Reads the labels, or samples and stores them."""
        if self.train_chains:
            return
        if not self.path.is_file():
            records = write_labels(self.config.labels, self.desk, "prm labels")
            lines = (json.dumps(chain._asdict()) for chain in chains_of(records, self.template))
            write_atomic(self.path, "\n".join(lines) + "\n")
        chains = [_chain(json.loads(line)) for line in self.path.read_text().splitlines()]
        problems = {problem: i for i, problem in enumerate(dict.fromkeys(c.problem_id for c in chains))}
        self.heldout_chains = [c for c in chains if problems[c.problem_id] % HELD_OUT == 0]
        self.train_chains = [c for c in chains if problems[c.problem_id] % HELD_OUT]
        if not self.train_chains:
            raise DataError(f"{self.path}: no labelled chains. Raise labels.num_problems.")

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled batches of chains of like length."""
        lengths = [len(chain.token_ids) for chain in self.train_chains]
        batches = LengthBucketedBatches(lengths, self.config.batch_size, self.config.steps, self.seed)
        batches.start = self._start
        return DataLoader(self.train_chains, batch_sampler=batches, collate_fn=collate)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """Where in the order of batches the run is."""
        return {"batch": self.trainer.global_step if self.trainer is not None else 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on at the saved batch."""
        self._start = int(state_dict["batch"])

    @torch.inference_mode()
    def evaluate(self, model: LanguageModel) -> dict[str, float]:
        """On the held-out chains: calibration error, and F1 and AUC of labels of at least one half against the rest."""
        model.eval()
        scores: list[float] = []
        labels: list[float] = []
        for start in range(0, len(self.heldout_chains), 128):
            token_ids_BT, labels_BT, mask_BT = collate(self.heldout_chains[start : start + 128])
            hidden = model.hidden(token_ids_BT.to(model.device), use_cache=False).cpu()
            probabilities = torch.sigmoid(model.head_logits(hidden[mask_BT].to(model.device)))
            scores.extend(probabilities.tolist())
            labels.extend(labels_BT[mask_BT].tolist())
        hard, called = [label >= 0.5 for label in labels], [score >= 0.5 for score in scores]
        summary = {
            "prm/steps": float(len(labels)),
            "prm/ece": expected_calibration_error(scores, labels),
            "prm/f1_ok": f1(called, hard),
            "prm/f1_err": f1([not c for c in called], [not h for h in hard]),
        }
        if any(hard) and not all(hard):
            summary["prm/auc"] = roc_auc(scores, hard)
        return summary


def _chain(row: dict[str, Any]) -> LabelledChain:
    return LabelledChain(
        row["problem_id"], row["text"], tuple(row["token_ids"]), tuple(row["ends"]), tuple(row["labels"])
    )


def collate(chains: Sequence[LabelledChain]) -> tuple[Tensor, Tensor, Tensor]:
    """(token_ids_BT, labels_BT, mask_BT) with labels and mask at the last token of each step."""
    token_ids_BT = pad([chain.token_ids for chain in chains])
    width = token_ids_BT.shape[1]
    labels, mask = [], torch.zeros(token_ids_BT.shape, dtype=torch.bool)
    for b, chain in enumerate(chains):
        mask[b, list(chain.ends)] = True
        line = [0.0] * width
        for end, label in zip(chain.ends, chain.labels, strict=True):
            line[end] = label
        labels.append(line)
    return token_ids_BT, pad_floats(labels, width), mask
