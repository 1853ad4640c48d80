"""`LabelsData`: one unit of work is a block of problems, or of chains to be judged."""

from __future__ import annotations

from typing import Any

import lightning as L
from torch.utils.data import DataLoader


class LabelsData(L.LightningDataModule):
    """The numbers of the blocks; the module knows what is in them."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks = blocks

    def test_dataloader(self) -> DataLoader[Any]:
        """The blocks, one a batch."""
        return DataLoader(range(self.blocks), batch_size=None, collate_fn=int)  # type: ignore[arg-type]

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        """Leaves numbers where they are."""
        return batch
