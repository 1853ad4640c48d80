"""`PrmModule`: the losses of reward models, at the positions that are read later."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from o1kit.functional.ranking import ranking_accuracy, ranking_loss
from o1kit.models.language_model import LanguageModel
from o1kit.stages.optim import build_optimizer
from o1kit.stages.prm.config import PairwiseObjectiveConfig, PrmConfig, PrmObjectiveConfig
from o1kit.stages.prm.data import Batch


class PrmModule(L.LightningModule):
    """Trains a language model that is read off a scalar head or off two label tokens."""

    def __init__(self, model: LanguageModel, config: PrmConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self._ranks = isinstance(config.objective, PairwiseObjectiveConfig) and config.reading.by == "head"
        self._beta = config.objective.beta if isinstance(config.objective, PairwiseObjectiveConfig) else 1.0
        of_steps = (
            config.objective if isinstance(config.objective, PrmObjectiveConfig) else PrmObjectiveConfig(kind="prm")
        )
        self._ranking, self._inner = of_steps.ranking, of_steps.inner

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of the objective, in nats, over the labelled positions."""
        hidden = self.model.hidden(batch.token_ids_BT, use_cache=False)[batch.mask_BT]
        logits = self.model.read(hidden, batch.features_BTF[batch.mask_BT])
        labels = batch.labels_BT[batch.mask_BT]
        groups = batch.groups_BT[batch.mask_BT]
        if self._ranks:
            loss, accuracy = ranking_loss(logits, labels, groups), ranking_accuracy(logits, labels, groups)
        else:
            moved = logits if batch.reference_BT is None else self._beta * (logits - batch.reference_BT[batch.mask_BT])
            weights = torch.where(batch.inner[batch.mask_BT], self._inner, 1.0)
            losses = torch.nn.functional.binary_cross_entropy_with_logits(moved, labels, reduction="none")
            loss = (losses * weights).sum() / weights.sum()
            accuracy = ((logits > 0) == (labels >= 0.5)).float().mean()
        if self._ranking:
            ranking = ranking_loss(logits, labels, groups)
            loss = loss + self._ranking * ranking
            self.log("prm/ranking_loss", ranking.detach())
        self.log_dict({"prm/loss": loss.detach(), "prm/acc": accuracy})
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine decay."""
        return build_optimizer(self, self.config.optimizer, self.config.steps)
