"""`EvaluateData`: one unit of work is one policy on one split."""

from __future__ import annotations

from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from o1kit.stages.evaluate.config import EvaluateConfig


class EvaluateData(L.LightningDataModule):
    """(policy, split) pairs in the order of the table."""

    def __init__(self, config: EvaluateConfig) -> None:
        super().__init__()
        self.config = config

    def test_dataloader(self) -> DataLoader[Any]:
        """The pairs, one a batch."""
        pairs = [(policy, split) for policy in self.config.policies for split in self.config.splits]
        return DataLoader(pairs, batch_size=None)  # type: ignore[arg-type]
