"""`DpoModule`: preference loss on pairs of chains, with a next-token loss on the better one if the recipe asks."""

from __future__ import annotations

from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor

from o1kit.functional.dpo import LogRatios, chain_logprobs, ipo_loss, mean_logprobs, sigmoid_loss
from o1kit.functional.masking import masked_mean
from o1kit.models.language_model import LanguageModel
from o1kit.stages.dpo.config import DpoConfig
from o1kit.stages.dpo.data import Batch, read_logprobs
from o1kit.stages.optim import build_optimizer


class Judged(NamedTuple):
    """Log-ratios of the pairs, the preference loss, and the next-token loss on the better chains, in nats."""

    ratios: LogRatios
    loss: Tensor
    sft: Tensor


class DpoModule(L.LightningModule):
    """Trains a policy on batches of pairs."""

    def __init__(self, model: LanguageModel, config: DpoConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Preference loss plus `sft_coef` times the mean cross-entropy of the better chains' tokens."""
        judged = self.judge(batch)
        loss = judged.loss + self.config.sft_coef * judged.sft
        self.log_dict({f"dpo/{name}": value for name, value in self.figures(judged).items()})
        self.log("dpo/total_loss", loss.detach())
        return loss

    def judge(self, batch: Batch) -> Judged:
        """What the policy now says of a batch."""
        logprobs_BT = read_logprobs(self.model, batch)
        mask_BT = batch.mask_BT[:, 1:].to(logprobs_BT.device)
        reference_B = batch.reference_B.to(logprobs_BT.device)
        if self.config.log_ratio == "mean":
            ratios_B = mean_logprobs(logprobs_BT, mask_BT) - reference_B / mask_BT.sum(dim=1)
        else:
            ratios_B = chain_logprobs(logprobs_BT, mask_BT) - reference_B
        ratios = LogRatios(*ratios_B.chunk(2))
        if self.config.loss == "ipo":
            loss = ipo_loss(ratios.margin, self.config.beta)
        else:
            loss = sigmoid_loss(ratios.margin, self.config.beta, self.config.label_smoothing)
        pairs = len(ratios.chosen)
        sft = -masked_mean(logprobs_BT[:pairs], batch.chain_BT[:pairs, 1:].to(logprobs_BT.device))
        return Judged(ratios, loss, sft)

    @torch.no_grad()
    def figures(self, judged: Judged) -> dict[str, Tensor]:
        """Losses, implicit rewards beta log(pi / pi_ref), and how often the better chain has the higher one."""
        chosen, rejected = (self.config.beta * ratio.detach() for ratio in judged.ratios)
        return {
            "loss": judged.loss.detach(),
            "sft_loss": judged.sft.detach(),
            "reward_chosen": chosen.mean(),
            "reward_rejected": rejected.mean(),
            "margin": (chosen - rejected).mean(),
            "acc": (chosen > rejected).float().mean(),
        }

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine decay."""
        return build_optimizer(self, self.config.optimizer, self.config.steps)
