"""`PrmData`: labelled chains as batches; the labels are kept on disk, so a continued run does not sample them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from o1kit.errors import DataError
from o1kit.functional.surprise import SIZE
from o1kit.stages.prm.config import PairwiseObjectiveConfig, PrmConfig, PrmObjectiveConfig
from o1kit.stages.prm.examples import Builder, Example
from o1kit.stages.prm.sources import Source
from o1kit.stages.sequences import HELD_OUT, GroupedBatches, LengthBucketedBatches, held_out, pad, pad_floats


class Batch(NamedTuple):
    """Sequences [B, T]; the mask is True where a label is, and readings with one group number may be compared."""

    token_ids_BT: Tensor
    labels_BT: Tensor
    mask_BT: Tensor
    groups_BT: Tensor
    features_BTF: Tensor
    """The policy's surprise where a label is, and 0 elsewhere."""
    reference_BT: Tensor | None = None
    """The log-odds before training where a label is, and 0 elsewhere; None where they do not count."""

    @property
    def inner(self) -> Tensor:
        """True where a label is that of a step before its chain's end: `collate` gives ends odd group numbers."""
        return self.mask_BT & (self.groups_BT % 2 == 0)


class PrmData(L.LightningDataModule):
    """Batches of examples; problems are either trained on or held out."""

    def __init__(
        self,
        config: PrmConfig,
        source: Source,
        builder: Builder,
        seed: int,
        reference: Callable[[Sequence[Example], torch.device | None], list[Example]] | None = None,
    ) -> None:
        super().__init__()
        self.config, self.source, self.builder, self.seed = config, source, builder, seed
        self.reference = reference
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
        if self.source.pairs is not None:
            examples = self.builder.from_pairs(list(self.source.pairs()))
        else:
            examples = self.builder.from_labels(list(self.source.labels() if self.source.labels is not None else ()))
        held = held_out([example.problem for example in examples], HELD_OUT)
        self.train_examples = [example for example, h in zip(examples, held, strict=True) if not h]
        self.heldout_examples = [example for example, h in zip(examples, held, strict=True) if h]
        if not self.train_examples:
            raise DataError(f"{self.source.place}: no labelled chains to train on. Label more problems.")
        if self.reference is not None:
            device = self.trainer.strategy.root_device if self.trainer is not None else None
            self.train_examples, self.reference = self.reference(self.train_examples, device), None

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
    features_BTF = torch.zeros(*token_ids_BT.shape, SIZE)
    for b, example in enumerate(examples):
        if example.features:
            features_BTF[b, list(example.ends)] = torch.tensor(example.features)
    reference_BT = None
    if any(example.reference for example in examples):
        reference_BT = torch.zeros(token_ids_BT.shape)
        for b, example in enumerate(examples):
            reference_BT[b, list(example.ends)] = torch.tensor(example.reference)
    return Batch(token_ids_BT, pad_floats(labels, width), mask_BT, groups_BT, features_BTF, reference_BT)
