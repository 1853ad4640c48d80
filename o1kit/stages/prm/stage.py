"""Reward models: a value at the end of every step, for a whole chain, or for one chain against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from o1kit.models.language_model import LanguageModel
from o1kit.models.load import save_directory
from o1kit.models.reading import Inner, Reading, reading_ids, write_reading
from o1kit.protocols import BuiltStage, StageInputs
from o1kit.stages.prm.config import PairwiseObjectiveConfig, PrmConfig
from o1kit.stages.prm.data import PrmData
from o1kit.stages.prm.examples import Builder, Example
from o1kit.stages.prm.measure import Fits, cross_calibrated, fit, measure, read_examples
from o1kit.stages.prm.module import PrmModule
from o1kit.stages.prm.sources import source_of
from o1kit.stages.start import starting_model, suite_of, trainable


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
        source = source_of(inputs, policy, template, suite)
        model, _ = starting_model(inputs, config.policy, suite)
        if good is not None and bad is not None:
            model.label_ids, model.head = (good, bad), None
        else:
            model.add_head()
        if config.reading.surprise:
            model.add_surprise()
        builder = Builder(config, template, mark, model.context_length, inputs.seed)
        module = PrmModule(trainable(model, inputs), config)
        reference = None
        if isinstance(config.objective, PairwiseObjectiveConfig) and config.objective.loss == "dpo":
            assert good is not None and bad is not None  # the section says that it is read by tokens
            reference = partial(referred, policy, (good, bad))
        data = PrmData(config, source, builder, inputs.seed, reference)
        options = {"max_steps": config.steps, "max_epochs": 1, "gradient_clip_val": config.optimizer.grad_clip}
        return BuiltStage(module, data, "fit", options, phases="step")

    def export(self, built: BuiltStage, directory: Path) -> Mapping[str, Any]:
        """Weights, head, tokenizer and how to read them; the summary measures the model on chains kept out of training.

        With `calibrate` those chains fit the calibration too, and each is measured with a fit on other problems.
        """
        assert isinstance(built.module, PrmModule) and isinstance(built.data, PrmData)
        model, data, config = built.module.model, built.data, built.module.config
        reads = read_examples(model, data.heldout_examples)
        summary: dict[str, Any] = data.builder.counts.summary()
        inner = None
        if config.calibrate:
            plain, fits = measure(reads, config), fit(reads)
            summary |= measure(cross_calibrated(reads), config) | _ranked(plain, fits)
            summary |= {"prm/ece_before": plain["prm/ece"]}
            summary |= {"prm/calibration_scale": fits.ends.scale, "prm/calibration_bias": fits.ends.bias}
            inner = fold(model, fits)
            if inner is not None:
                summary |= {"prm/calibration_inner_scale": fits.inner.scale}
                summary |= {"prm/calibration_inner_bias": fits.inner.bias}
        else:
            summary |= measure(reads, config)
        save_directory(model, data.builder.template.tokenizer, directory)
        write_reading(directory, reading_of(config, model, inner))
        return summary


def referred(
    policy: LanguageModel, labels: tuple[int, int], examples: Sequence[Example], device: torch.device | None
) -> list[Example]:
    """The examples with what the model, as it was, answers to each."""
    policy.label_ids = labels
    policy.to(device if device is not None else policy.device)
    return [read.example._replace(reference=read.logits) for read in read_examples(policy, examples)]


def _ranked(plain: Mapping[str, Any], fits: Fits) -> dict[str, Any]:
    """What a scale and a bias leave as it was: the order. The fits of several parts would only seem to change it."""
    if fits.ends.weights:
        return {}
    alike = fits.ends == fits.inner
    names = ("prm/within_auc", "prm/ends_auc", "prm/inner_auc", *(["prm/auc"] if alike else []))
    return {name: plain[name] for name in names if name in plain}


def reading_of(config: PrmConfig, model: LanguageModel | None = None, inner: Inner | None = None) -> Reading:
    """How the model that this section trains is to be read: as the section says, and as it has learned."""
    said = config.reading.model_dump(exclude={"surprise"})
    if model is None:
        return Reading(kind=config.objective.kind, **said)
    (scale, bias), weights = model.calibration, [] if model.surprise is None else model.surprise.tolist()
    return Reading(kind=config.objective.kind, **said, scale=scale, bias=bias, surprise=weights, inner=inner)


@torch.no_grad()
def fold(model: LanguageModel, fits: Fits) -> Inner | None:
    """Makes a model's readings those calibrated for ends, in the head's own weights or beside the label tokens.

    Returns how steps before a chain's end are to be read off the same head, where that differs.
    """
    scale, bias, weights = fits.ends
    before = [] if model.surprise is None else model.surprise.tolist()
    if model.surprise is not None:
        model.surprise.mul_(scale)
        if weights:
            model.surprise.add_(torch.tensor(weights))
    if model.head is not None:
        model.head.weight.mul_(scale)
        model.head.bias.mul_(scale).add_(bias)
    else:
        old_scale, old_bias = model.calibration
        model.calibration = (scale * old_scale, scale * old_bias + bias)
    if fits.inner == fits.ends:
        return None
    own = fits.inner.scale
    added = fits.inner.weights or (0.0,) * len(before)
    surprise = [own * w + more for w, more in zip(before, added, strict=True)]
    return Inner(scale=own / scale, bias=fits.inner.bias - own * bias / scale, surprise=surprise)
