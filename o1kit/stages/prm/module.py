"""`PrmModule`: binary cross-entropy of the head at step ends, with hard or soft labels."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from o1kit.models.language_model import LanguageModel
from o1kit.stages.optim import build_optimizer
from o1kit.stages.prm.config import PrmConfig


class PrmModule(L.LightningModule):
    """Trains a language model with a scalar head on (token_ids_BT, labels_BT, mask_BT) batches."""

    def __init__(self, model: LanguageModel, config: PrmConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean cross-entropy of the labelled positions, in nats."""
        token_ids_BT, labels_BT, mask_BT = batch
        hidden = self.model.hidden(token_ids_BT, use_cache=False)[mask_BT]
        logits, labels = self.model.head_logits(hidden), labels_BT[mask_BT]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
        accuracy = ((logits > 0) == (labels >= 0.5)).float().mean()
        self.log_dict({"prm/loss": loss.detach(), "prm/acc": accuracy})
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine decay."""
        return build_optimizer(self, self.config.optimizer, self.config.steps)
