"""Calibration of reward models: fitted on other problems than it is measured on, and apart for ends of chains."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import pytest
import torch

from o1kit.functional.calibration import fit_platt
from o1kit.functional.statistics import expected_calibration_error
from o1kit.models.load import load_directory
from o1kit.stages.prm.examples import Example
from o1kit.stages.prm.measure import LEAST, Read, cross_calibrated, fit, probabilities
from tests.stages.test_reward_training import TOKENS, records, staged, trained

pytestmark = pytest.mark.slow


def test_calibration_is_fitted_on_other_problems_and_goes_with_the_weights(tmp_path: Path) -> None:
    rng = Random(1)
    noisy = [r.model_copy(update={"correct": rng.random() < (0.8 if r.correct else 0.3)}) for r in records(120, 2)]
    for name, reading in (("head", {}), ("tokens", TOKENS)):
        folder = tmp_path / name
        options = {"objective": {"kind": "orm"}, "reading": reading, "steps": 4}
        stage = staged(folder, noisy, calibrate=True, **options)
        summary = trained(stage, folder)
        plain = trained(staged(folder / "plain", noisy, **options), folder / "plain")
        raw, told = load_directory(folder / "plain" / "prm")[0], load_directory(folder / "prm")[0]
        tokens = torch.tensor([stage.data.heldout_examples[0].token_ids])  # type: ignore[attr-defined]
        scale, bias = summary["prm/calibration_scale"], summary["prm/calibration_bias"]
        assert (scale, bias) != (1.0, 0.0)
        with torch.inference_mode():
            torch.testing.assert_close(told(tokens).head, scale * raw(tokens).head + bias, atol=1e-4, rtol=1e-4)
        assert summary["prm/ece_before"] == plain["prm/ece"] != summary["prm/ece"]
        assert summary["prm/auc"] == plain["prm/auc"]


def test_no_problem_is_measured_with_a_calibration_that_has_seen_it() -> None:
    """What is measured of a problem does not depend on its own labels."""
    rng = Random(0)
    reads = []
    for p in range(50):
        label = float(rng.random() < 0.5)
        reads.append(Read(Example(f"p{p}", p, (1, 2), (1,), (label,)), (rng.gauss(0, 2),)))
    found = cross_calibrated(reads)
    for number, (read, own) in enumerate(zip(reads, found, strict=True)):
        others = [r for i, r in enumerate(reads) if i % 5 != number % 5]
        by_hand = fit_platt([r.logits[0] for r in others], [r.example.labels[0] for r in others])
        assert own.logits[0] == pytest.approx(by_hand.scale * read.logits[0] + by_hand.bias)
    turned = [
        r._replace(example=r.example._replace(labels=(1 - r.example.labels[0],))) if i == 7 else r
        for i, r in enumerate(reads)
    ]
    assert cross_calibrated(turned)[7] == found[7]._replace(example=turned[7].example)


def test_steps_before_the_end_have_a_calibration_of_their_own() -> None:
    """Readings that are right at the ends of chains and far too sure of themselves before: one fit serves only one."""
    rng = Random(2)
    reads = []
    for p in range(400):
        known, sure = rng.gauss(0, 2), rng.gauss(0, 2)
        labels = tuple(float(rng.random() < 1 / (1 + math.exp(-x))) for x in (sure / 4 - 1, known))
        reads.append(Read(Example(f"p{p}", p, (1, 2, 3), (1, 2), labels), (sure, known)))
    fits = fit(reads)
    assert fits.ends.scale == pytest.approx(1.0, abs=0.2) and fits.inner.scale == pytest.approx(0.25, abs=0.1)
    assert fits.ends.bias == pytest.approx(0.0, abs=0.2) and fits.inner.bias == pytest.approx(-1.0, abs=0.3)
    found = cross_calibrated(reads)
    steps = zip(*((r.logits[0], r.example.labels[0]) for r in found), strict=True)
    logits, labels = map(list, steps)
    assert expected_calibration_error(probabilities(logits), labels) < 0.05
    few = fit(reads[: LEAST - 1])
    assert few.ends == few.inner, "too few of either get one calibration for both"
    unfinished = [r._replace(example=r.example._replace(ended=False)) for r in reads]
    assert fit(unfinished).ends == fit(unfinished).inner
