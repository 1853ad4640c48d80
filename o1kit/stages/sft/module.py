"""`SftModule`: next-token cross-entropy on the chain, none on the prompt."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from o1kit.models.language_model import LanguageModel
from o1kit.stages.optim import build_optimizer
from o1kit.stages.sft.config import SftConfig


class SftModule(L.LightningModule):
    """Trains a language model on `(token_ids_BT, mask_BT)` batches; mask True = the token carries loss."""

    def __init__(self, model: LanguageModel, config: SftConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.last_loss = float("nan")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean cross-entropy of the masked tokens, in nats."""
        token_ids_BT, mask_BT = batch
        targets_BT, counts_BT = token_ids_BT[:, 1:], mask_BT[:, 1:]
        hidden = self.model.hidden(token_ids_BT[:, :-1], use_cache=False)[counts_BT]
        logits = self.model.logits(hidden)
        targets = targets_BT[counts_BT]
        loss = torch.nn.functional.cross_entropy(logits, targets)
        self.last_loss = float(loss.detach())
        accuracy = (logits.argmax(-1) == targets).float().mean()
        self.log_dict({"sft/loss": loss.detach(), "sft/token_accuracy": accuracy, "sft/tokens": float(targets.numel())})
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine decay."""
        return build_optimizer(self, self.config.optimizer, self.config.steps)
