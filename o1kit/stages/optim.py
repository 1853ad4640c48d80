"""The optimizer and learning-rate schedule that all training stages share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from o1kit.stages.config import OptimizerConfig

NOT_HIDDEN = ("embed_tokens", "lm_head", "head.")
"""Parts of parameter names that mark what Muon is not meant for: embeddings and heads."""


class MuonAdamW(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) for hidden matrices and AdamW for all else, as one optimizer with shared groups."""

    def __init__(self, matrices: dict[str, Any], others: list[dict[str, Any]], betas: tuple[float, float]) -> None:
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(**matrices),
            torch.optim.AdamW(others, betas=betas, fused=True),
        )
        super().__init__([group for part in self.parts for group in part.param_groups], {})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The state of both."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores both; the groups stay the ones that a schedule sets the rates of."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups[:] = [group for part in self.parts for group in part.param_groups]


def build_optimizer(model: nn.Module, config: OptimizerConfig, total_steps: int) -> dict[str, Any]:
    """What `configure_optimizers` returns: no decay on vectors, warm-up then cosine by optimizer step."""
    beta_1, beta_2 = config.betas
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    hidden = [p for name, p in named if p.ndim == 2 and not any(part in name for part in NOT_HIDDEN)]
    chosen = set(map(id, hidden)) if config.muon_lr is not None else set()
    rest = [p for _, p in named if id(p) not in chosen]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "lr": config.lr, "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "lr": config.lr, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimizer: torch.optim.Optimizer
    if chosen:
        muon = {"params": hidden, "lr": config.muon_lr, "weight_decay": config.weight_decay}
        optimizer = MuonAdamW(muon, groups, (beta_1, beta_2))
    else:
        optimizer = torch.optim.AdamW(groups, betas=(beta_1, beta_2), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, total_steps, config))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def lr_factor(step: int, total_steps: int, config: OptimizerConfig) -> float:
    """Learning rate at an optimizer step, relative to the peak."""
    warmup = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    progress = min(step / max(total_steps, 1), 1.0)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return warmup * (config.final_lr_fraction + (1 - config.final_lr_fraction) * cosine)
