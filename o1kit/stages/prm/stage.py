"""Process reward models: a value at the end of every step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from o1kit.models.load import save_directory
from o1kit.protocols import BuiltStage, StageInputs
from o1kit.stages.labels.write import local_desk
from o1kit.stages.prm.config import PrmConfig
from o1kit.stages.prm.data import PrmData
from o1kit.stages.prm.module import PrmModule
from o1kit.stages.start import starting_model, suite_of, trainable


class PrmStage:
    """Chains of a policy, labelled by what becomes of them -> a process reward model."""

    def build(self, inputs: StageInputs) -> BuiltStage:
        """The module and its data."""
        config: PrmConfig = inputs.config
        suite = suite_of(inputs)
        policy, template = starting_model(inputs, config.policy, suite)
        desk = local_desk(inputs, policy, template, suite)
        model, _ = starting_model(inputs, config.policy, suite)
        model.add_head()
        module = PrmModule(trainable(model, inputs), config)
        data = PrmData(config, desk, template, inputs.directory, inputs.seed)
        options = {"max_steps": config.steps, "max_epochs": 1, "gradient_clip_val": config.optimizer.grad_clip}
        return BuiltStage(module, data, "fit", options, phases="step")

    def export(self, built: BuiltStage, directory: Path) -> Mapping[str, Any]:
        """Weights, head and tokenizer; the summary measures the model on labelled chains kept out of training."""
        assert isinstance(built.module, PrmModule) and isinstance(built.data, PrmData)
        summary = built.data.evaluate(built.module.model)
        save_directory(built.module.model, built.data.template.tokenizer, directory)
        return summary
