"""`PrmData`: labelled chains as batches; the labels are kept on disk, so a continued run does not sample them again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from o1kit.errors import DataError
from o1kit.report.label_schema import LabelRecord
from o1kit.report.labels import LABELS, PAIRS, read_labels, read_pairs, write_records
from o1kit.stages.prm.config import PairwiseObjectiveConfig, PrmConfig, PrmObjectiveConfig
from o1kit.stages.prm.examples import Builder, Example, split_heldout
from o1kit.stages.sequences import GroupedBatches, LengthBucketedBatches, pad, pad_floats

HELD_OUT = 10
"""One problem in this many is kept out of training, to measure the model on."""


class Batch(NamedTuple):
    """Sequences [B, T]; the mask is True where a label is, and readings with one group number may be compared."""

    token_ids_BT: Tensor
    labels_BT: Tensor
    mask_BT: Tensor
    groups_BT: Tensor


class Source(NamedTuple):
    """Where labels come from: a file, or a function that makes them, whose result is kept in that file."""

    path: Path
    make: Callable[[], list[LabelRecord]] | None = None


class PrmData(L.LightningDataModule):
    """Batches of examples; problems are either trained on or held out."""

    def __init__(self, config: PrmConfig, source: Source, builder: Builder, seed: int) -> None:
        super().__init__()
        self.config, self.source, self.builder, self.seed = config, source, builder, seed
        self.train_examples: list[Example] = []
        self.heldout_examples: list[Example] = []
        self._start = 0

    def setup(self, stage: str) -> None:
        """Reads the labels, or samples and stores them.

        Raises:
            DataError: they cannot be read, or nothing can be learned from them.
        """
        if self.train_examples:
            return
        path = self.source.path
        if self.source.make is not None and not path.is_file():
            write_records(path, self.source.make())
        if holds_pairs(path):
            if not isinstance(self.config.objective, PairwiseObjectiveConfig):
                kind = self.config.objective.kind
                raise DataError(f"{path}: holds preference pairs, and the objective is {kind}. Use `kind: pairwise`.")
            examples = self.builder.from_pairs(list(read_pairs(path)))
        else:
            examples = self.builder.from_labels(list(read_labels(path)))
        self.train_examples, self.heldout_examples = split_heldout(examples, HELD_OUT)
        if not self.train_examples:
            raise DataError(
                f"{path}: no labelled chains to train on. Raise labels.num_problems, or label more of them."
            )

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled batches of chains of like length; where chains are compared, those of a problem stay together."""
        lengths = [len(example.token_ids) for example in self.train_examples]
        size, steps = self.config.batch_size, self.config.steps
        batches: LengthBucketedBatches | GroupedBatches
        if compares(self.config):
            batches = GroupedBatches([e.group for e in self.train_examples], lengths, size, steps, self.seed)
        else:
            batches = LengthBucketedBatches(lengths, size, steps, self.seed)
        batches.start = self._start
        return DataLoader(self.train_examples, batch_sampler=batches, collate_fn=collate)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """Where in the order of batches the run is."""
        return {"batch": self.trainer.global_step if self.trainer is not None else 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on at the saved batch."""
        self._start = int(state_dict["batch"])


def compares(config: PrmConfig) -> bool:
    """Whether a batch must hold several chains of one problem."""
    if isinstance(config.objective, PrmObjectiveConfig):
        return config.objective.ranking > 0
    return isinstance(config.objective, PairwiseObjectiveConfig) and config.reading.by == "head"


def labels_path(directory: Path) -> Path:
    """The file of labels in a stage's folder, or that of pairs if it has only those.

    Raises:
        DataError: there is neither.
    """
    found = [path for path in (directory / LABELS, directory / PAIRS) if path.is_file()]
    if not found:
        raise DataError(f"{directory}: holds neither {LABELS} nor {PAIRS}. Name a stage that writes labels or pairs.")
    return found[0]


def holds_pairs(path: Path) -> bool:
    """Whether the first record of a file is a preference pair; a file that cannot be read is none."""
    try:
        with path.open(encoding="utf-8") as stream:
            first = json.loads(next((line for line in stream if line.strip()), "{}"))
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and "chosen" in first


def collate(examples: Sequence[Example]) -> Batch:
    """Examples as one batch, with labels and mask at the positions that are read.

    Ends of chains are compared with ends of chains and inner steps with inner steps, of the same group.

    Raises:
        DataError: the batch has no label at all, or one at every token.
    """
    token_ids_BT = pad([example.token_ids for example in examples])
    width = token_ids_BT.shape[1]
    mask_BT = torch.zeros(token_ids_BT.shape, dtype=torch.bool)
    groups_BT = torch.full(token_ids_BT.shape, -1)
    labels = []
    for b, example in enumerate(examples):
        mask_BT[b, list(example.ends)] = True
        groups_BT[b, list(example.ends)] = 2 * example.group
        groups_BT[b, example.ends[-1:]] += int(example.ended)
        line = [0.0] * width
        for end, label in zip(example.ends, example.labels, strict=True):
            line[end] = label
        labels.append(line)
    count = int(mask_BT.sum())
    if count in (0, sum(len(example.token_ids) for example in examples)):
        raise DataError(f"a batch has {count} labels for as many tokens or none at all. Look at how steps are cut.")
    return Batch(token_ids_BT, pad_floats(labels, width), mask_BT, groups_BT)
