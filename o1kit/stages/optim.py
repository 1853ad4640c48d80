"""The optimizer and learning-rate schedule that all training stages share."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from o1kit.stages.config import OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig, total_steps: int) -> dict[str, Any]:
    """What `configure_optimizers` returns: AdamW, no decay on vectors, warm-up then cosine by optimizer step."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    beta_1, beta_2 = config.betas
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, betas=(beta_1, beta_2), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, total_steps, config))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def lr_factor(step: int, total_steps: int, config: OptimizerConfig) -> float:
    """Learning rate at an optimizer step, relative to the peak."""
    warmup = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    progress = min(step / max(total_steps, 1), 1.0)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return warmup * (config.final_lr_fraction + (1 - config.final_lr_fraction) * cosine)
