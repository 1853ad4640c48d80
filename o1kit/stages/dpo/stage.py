"""Direct preference optimisation: pairs of chains -> a policy that prefers the better ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from o1kit.models.language_model import LanguageModel
from o1kit.models.load import save_directory
from o1kit.protocols import BuiltStage, StageInputs
from o1kit.report.labels import PAIRS
from o1kit.stages.dpo.config import DpoConfig, StagePairsConfig
from o1kit.stages.dpo.data import ROWS, Batch, DpoData, collate
from o1kit.stages.dpo.module import DpoModule
from o1kit.stages.start import starting_model, suite_of, trainable


class DpoStage:
    """Preference pairs -> a policy."""

    def build(self, inputs: StageInputs) -> BuiltStage:
        """The module and its data."""
        config: DpoConfig = inputs.config
        suite = suite_of(inputs)
        model, template = starting_model(inputs, config.policy, suite)
        reference, _ = starting_model(inputs, config.reference or config.policy, suite)
        model.head = None  # a value head of PPO's would not fit the new policy
        reference.eval().requires_grad_(False)
        if isinstance(config.pairs, StagePairsConfig):
            path = inputs.artifacts[config.pairs.stage].directory / PAIRS
        else:
            path = inputs.recipe_directory / config.pairs.path
        module = DpoModule(trainable(model, inputs), config)
        data = DpoData(config, path, template, reference, inputs.directory, inputs.seed)
        options = {"max_steps": config.steps, "max_epochs": 1, "gradient_clip_val": config.optimizer.grad_clip}
        return BuiltStage(module, data, "fit", options, phases="step")

    def export(self, built: BuiltStage, directory: Path) -> Mapping[str, Any]:
        """Weights and tokenizer; the summary measures the policy on the pairs of problems kept out of training."""
        assert isinstance(built.module, DpoModule) and isinstance(built.data, DpoData)
        summary = {**built.data.counts.summary(), **measure(built.module, built.data)}
        save_directory(built.module.model, built.data.template.tokenizer, directory)
        return summary


@torch.inference_mode()
def measure(module: DpoModule, data: DpoData) -> dict[str, float]:
    """The module's figures on the held-out pairs, and how far the policy has moved on their tokens (nats a token)."""
    module.eval()
    data.reference.to(module.model.device)
    judged, sums, tokens = [], 0.0, 0
    for start in range(0, len(data.heldout_rows), ROWS):
        batch = collate(data.heldout_rows[start : start + ROWS], module.config.mask_shared_prefix)
        judged.append((module.judge(batch), len(batch.token_ids_BT) // 2))
        kl, count = _divergence(module.model, data.reference, batch)
        sums, tokens = sums + kl * count, tokens + count
    figures = [(module.figures(one), pairs) for one, pairs in judged]
    total = sum(pairs for _, pairs in figures)
    found = {name: sum(float(f[name]) * n for f, n in figures) / total for name in figures[0][0]} if figures else {}
    return {f"dpo/{name}": value for name, value in found.items()} | {
        "dpo/heldout_pairs": float(total),
        "dpo/kl": sums / max(tokens, 1),
    }


def _divergence(model: LanguageModel, reference: LanguageModel, batch: Batch) -> tuple[float, int]:
    """Mean over the chains' tokens of KL(policy || reference), over the whole vocabulary, and how many tokens."""
    wanted = batch.chain_BT[:, 1:]
    token_ids = batch.token_ids_BT[:, :-1].to(model.device)
    ours, theirs = (
        torch.log_softmax(m.logits(m.hidden(token_ids, use_cache=False)[wanted]), dim=-1) for m in (model, reference)
    )
    kl_N = (ours.exp() * (ours - theirs)).sum(dim=-1)
    return float(kl_N.mean()), len(kl_N)
