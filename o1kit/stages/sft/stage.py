"""Supervised fine-tuning on long chains of thought."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from o1kit.models.load import save_directory
from o1kit.protocols import BuiltStage, StageInputs
from o1kit.stages.sft.config import SftConfig
from o1kit.stages.sft.data import SftData
from o1kit.stages.sft.module import SftModule
from o1kit.stages.start import starting_model, suite_of, trainable


class SftStage:
    """Chains written by the tasks' teachers -> a policy."""

    def build(self, inputs: StageInputs) -> BuiltStage:
        """The module and its data."""
        config: SftConfig = inputs.config
        suite = suite_of(inputs)
        model, template = starting_model(inputs, config.policy, suite)
        module = SftModule(trainable(model, inputs), config)
        data = SftData(config, suite, template, model.context_length, inputs.seed)
        options = {"max_steps": config.steps, "max_epochs": 1, "gradient_clip_val": config.optimizer.grad_clip}
        return BuiltStage(module, data, "fit", options, phases="step")

    def export(self, built: BuiltStage, directory: Path) -> Mapping[str, Any]:
        """Weights and tokenizer as a Hugging Face folder."""
        assert isinstance(built.module, SftModule) and isinstance(built.data, SftData)
        save_directory(built.module.model, built.data.template.tokenizer, directory)
        return {"rows": len(built.data.rows), "loss": built.module.last_loss}
