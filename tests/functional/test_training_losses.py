"""Losses that compare chains, against closed forms, brute force and TRL."""

from __future__ import annotations

import math
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from o1kit.functional.dpo import chain_logprobs, ipo_loss, mean_logprobs, shared_prefix, sigmoid_loss
from o1kit.functional.ranking import ranking_loss


def test_the_ranking_loss_is_bradley_terry_on_the_pairs_of_a_group() -> None:
    readings, labels, groups = [0.3, -1.2, 2.0, 0.7, 0.1], [1.0, 0.0, 0.5, 1.0, 0.0], [7, 7, 7, 2, 2]
    expected = []
    for group in (7, 2):
        own = [i for i, g in enumerate(groups) if g == group]
        pairs = [(i, j) for i in own for j in own if labels[i] > labels[j]]
        weights = [labels[i] - labels[j] for i, j in pairs]
        losses = [-math.log(1 / (1 + math.exp(readings[j] - readings[i]))) for i, j in pairs]
        expected.append(sum(w * x for w, x in zip(weights, losses, strict=True)) / sum(weights))
    found = ranking_loss(torch.tensor(readings), torch.tensor(labels), torch.tensor(groups))
    assert float(found) == pytest.approx(sum(expected) / 2, abs=1e-6)


def test_the_ranking_loss_knows_nothing_of_how_hard_a_problem_is() -> None:
    """Adding a number to all readings of one problem changes nothing; in cross-entropy it would."""
    readings, labels = torch.randn(12, generator=torch.Generator().manual_seed(0)), torch.tensor([0.0, 1.0] * 6)
    groups = torch.arange(12) // 4
    shifted = readings + torch.tensor([5.0, -3.0, 40.0])[groups]
    torch.testing.assert_close(ranking_loss(readings, labels, groups), ranking_loss(shifted, labels, groups))


def test_the_ranking_loss_is_stable_and_zero_without_pairs() -> None:
    readings = torch.tensor([1e4, -1e4, 3.0], requires_grad=True)
    loss = ranking_loss(readings, torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0, 0, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert readings.grad is not None and readings.grad.tolist() == [1.0, -1.0, 0.0]
    alone = ranking_loss(readings, torch.ones(3), torch.tensor([0, 0, 1]))
    alone.backward()
    assert alone.item() == 0.0


def test_dpo_against_its_closed_form() -> None:
    margin = torch.tensor([0.0, 2.0, -1.0])
    hand = [math.log(2), math.log1p(math.exp(-0.2)), math.log1p(math.exp(0.1))]
    assert float(sigmoid_loss(margin, 0.1)) == pytest.approx(sum(hand) / 3, abs=1e-6)
    turned = [math.log(2), math.log1p(math.exp(0.2)), math.log1p(math.exp(-0.1))]
    mixed = sum(0.8 * a + 0.2 * b for a, b in zip(hand, turned, strict=True)) / 3
    assert float(sigmoid_loss(margin, 0.1, 0.2)) == pytest.approx(mixed, abs=1e-6)
    assert float(ipo_loss(margin, 0.1)) == pytest.approx((25 + 9 + 36) / 3)
    assert [shared_prefix([1, 2, 3], x) for x in ([1, 2, 4], [1, 2], [5])] == [2, 2, 0]


def test_dpo_gradients_are_the_derivatives() -> None:
    margin = torch.linspace(-3, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m: sigmoid_loss(m, 0.3, 0.1), (margin,))
    assert torch.autograd.gradcheck(lambda m: ipo_loss(m, 0.3), (margin,))
    readings = torch.randn(7, dtype=torch.float64, requires_grad=True)
    labels, groups = torch.tensor([0, 1, 0.5, 1, 0, 0.2, 0.9], dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1, 1, 2])
    assert torch.autograd.gradcheck(lambda r: ranking_loss(r, labels, groups), (readings,))


@pytest.mark.slow  # importing TRL takes longer than all else here
@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        ("sigmoid", lambda lp, rp, m: sigmoid_loss(_margin(chain_logprobs, lp, rp, m), 0.2)),
        ("sigmoid_norm", lambda lp, rp, m: sigmoid_loss(_margin(mean_logprobs, lp, rp, m), 0.2)),
        ("ipo", lambda lp, rp, m: ipo_loss(_margin(mean_logprobs, lp, rp, m), 0.2)),
    ],
)
def test_dpo_is_what_trl_computes(kind: str, ours: Any) -> None:
    """TRL's own loss code on the same log-probabilities, without its trainer."""
    trl = pytest.importorskip("trl")
    generator = torch.Generator().manual_seed(1)
    mask = torch.zeros(6, 9, dtype=torch.long)
    for row, (start, stop) in enumerate([(3, 9), (3, 7), (2, 8), (3, 6), (3, 9), (2, 9)]):
        mask[row, start:stop] = 1
    logprobs, reference = (-torch.rand(6, 8, generator=generator) * 3 * mask[:, 1:] for _ in range(2))
    outputs = SimpleNamespace(log_probs=logprobs, entropy=logprobs, mean_logits=logprobs, is_top1=logprobs > -1)
    chosen, rejected = reference.sum(1).chunk(2)
    same = SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=same,
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=[kind],
        loss_weights=[1.0],
        label_smoothing=0.0,
        beta=0.2,
        use_weighting=False,
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
    )
    inputs = {
        "input_ids": torch.ones(6, 9, dtype=torch.long),
        "attention_mask": torch.ones(6, 9),
        "completion_mask": mask,
        "ref_chosen_logps": chosen,
        "ref_rejected_logps": rejected,
    }
    theirs = trl.DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, return_outputs=False)
    torch.testing.assert_close(ours(logprobs, reference, mask[:, 1:]), theirs)


def _margin(reduced: Any, logprobs: Any, reference: Any, mask: Any) -> Any:
    chosen, rejected = (reduced(logprobs, mask) - reduced(reference, mask)).chunk(2)
    return chosen - rejected
