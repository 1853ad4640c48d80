"""Reward models: a value at the end of every step, for a whole chain, or for one chain against another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from o1kit.engines.policy import PromptTemplate
from o1kit.models.language_model import LanguageModel
from o1kit.models.load import save_directory
from o1kit.models.reading import Reading, reading_ids, write_reading
from o1kit.protocols import BuiltStage, StageInputs
from o1kit.report.labels import LABELS
from o1kit.stages.labels.write import local_desk, write_labels
from o1kit.stages.prm.config import FileLabelsConfig, PrmConfig, StageLabelsConfig
from o1kit.stages.prm.data import PrmData, Source, labels_path
from o1kit.stages.prm.examples import Builder
from o1kit.stages.prm.measure import calibrated, fit, halves, measure, read_examples
from o1kit.stages.prm.module import PrmModule
from o1kit.stages.start import starting_model, suite_of, trainable
from o1kit.tasks.suite import Suite


class PrmStage:
    """Chains of a policy, labelled by what becomes of them, by a stage or by a file -> a reward model."""

    def build(self, inputs: StageInputs) -> BuiltStage:
        """The module and its data.

        Raises:
            DataError: a label token or the mark is not exactly one token of the policy's tokenizer.
        """
        config: PrmConfig = inputs.config
        suite = suite_of(inputs)
        policy, template = starting_model(inputs, config.policy, suite)
        good, bad, mark = reading_ids(reading_of(config), template.tokenizer)
        source = _source(inputs, policy, template, suite)
        model, _ = starting_model(inputs, config.policy, suite)
        if good is not None and bad is not None:
            model.label_ids = (good, bad)
        else:
            model.add_head()
        builder = Builder(config, template, mark, model.context_length, inputs.seed)
        module = PrmModule(trainable(model, inputs), config)
        data = PrmData(config, source, builder, inputs.seed)
        options = {"max_steps": config.steps, "max_epochs": 1, "gradient_clip_val": config.optimizer.grad_clip}
        return BuiltStage(module, data, "fit", options, phases="step")

    def export(self, built: BuiltStage, directory: Path) -> Mapping[str, Any]:
        """Weights, head, tokenizer and how to read them; the summary measures the model on chains kept out of training.

        With `calibrate` half of those fit the calibration, and the other half is measured.
        """
        assert isinstance(built.module, PrmModule) and isinstance(built.data, PrmData)
        model, data, config = built.module.model, built.data, built.module.config
        reads = read_examples(model, data.heldout_examples)
        summary: dict[str, Any] = data.builder.counts.summary()
        if config.calibrate:
            fitted, reads = halves(reads)
            platt = fit(fitted)
            summary |= {"prm/ece_before": measure(reads, config)["prm/ece"]}
            summary |= {"prm/calibration_scale": platt.scale, "prm/calibration_bias": platt.bias}
            reads = calibrated(reads, platt)
            fold(model, *platt)
        summary |= measure(reads, config)
        save_directory(model, data.builder.template.tokenizer, directory)
        write_reading(directory, reading_of(config, model.calibration))
        return summary


def reading_of(config: PrmConfig, calibration: tuple[float, float] = (1.0, 0.0)) -> Reading:
    """How the model that this section trains is to be read."""
    scale, bias = calibration
    return Reading(kind=config.objective.kind, **config.reading.model_dump(), scale=scale, bias=bias)


@torch.no_grad()
def fold(model: LanguageModel, scale: float, bias: float) -> None:
    """Makes a model's readings `scale * logit + bias`: in the head's own weights, or beside the label tokens."""
    if model.head is not None:
        model.head.weight.mul_(scale)
        model.head.bias.mul_(scale).add_(bias)
    else:
        old_scale, old_bias = model.calibration
        model.calibration = (scale * old_scale, scale * old_bias + bias)


def _source(inputs: StageInputs, policy: LanguageModel, template: PromptTemplate, suite: Suite) -> Source:
    config: PrmConfig = inputs.config
    match config.labels:
        case StageLabelsConfig():
            return Source(labels_path(inputs.artifacts[config.labels.stage].directory))
        case FileLabelsConfig():
            return Source(inputs.recipe_directory / config.labels.path)
        case sampled:
            desk = local_desk(inputs, policy, template, suite)
            return Source(inputs.directory / LABELS, lambda: write_labels(sampled, desk, "prm labels"))
