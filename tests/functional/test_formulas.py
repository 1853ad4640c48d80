"""Every formula against numbers worked out elsewhere (papers and published reference values)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from o1kit.functional.advantages import gae
from o1kit.functional.aggregation import aggregate
from o1kit.functional.kl import kl_k1, kl_k2, kl_k3
from o1kit.functional.logprobs import entropy, token_logprobs
from o1kit.functional.losses import clipped_policy_loss, clipped_value_loss
from o1kit.functional.masking import masked_mean, masked_normalize, masked_variance, mean_per_sequence
from o1kit.functional.priorities import importance_weights, sampling_probabilities
from o1kit.functional.statistics import (
    bootstrap_interval,
    expected_calibration_error,
    explained_variance,
    f1,
    pass_at_k,
    roc_auc,
    wilson_interval,
)
from o1kit.functional.voting import best, majority_vote, unified, weighted_vote

SCORES = [0.9, 0.8, 0.4, 0.95]


@pytest.mark.parametrize(
    ("how", "expected"),
    [("min", 0.4), ("prod", 0.2736), ("last", 0.95), ("mean", 0.7625), ("geometric_mean", 0.7232343), ("max", 0.95)],
)
def test_aggregations(how: str, expected: float) -> None:
    assert aggregate(how, SCORES) == pytest.approx(expected, abs=1e-7)  # type: ignore[arg-type]


def test_no_score_is_an_error() -> None:
    with pytest.raises(ValueError, match="no step scores"):
        aggregate("min", [])


def test_votes() -> None:
    assert majority_vote(["1", "2", "2", None, None, None]) == "2"
    assert majority_vote(["2", "1", "1", "2"]) == "2"
    assert weighted_vote(["1", "2", "2"], [0.9, 0.3, 0.3]) == "1"
    assert weighted_vote(["1", "2", "2"], [0.5, 0.3, 0.3]) == "2"
    assert best(["1", "2", None], [0.2, 0.3, 0.9]) == "2"
    assert best(["1", "2"], [0.3, 0.3]) == "1"
    assert unified(["1.0", None, "2", "1"], float) == ["1.0", None, "2", "1.0"]
    assert unified(["1.0", None, "2", "1"], None) == ["1.0", None, "2", "1"]
    assert majority_vote([None]) is None and best([None], [1.0]) is None


def test_gae_vector() -> None:
    values, rewards = torch.tensor([[0.5, 0.6, 0.8]]), torch.tensor([[0.0, 0.0, 1.0]])
    found = gae(rewards, values, torch.ones(1, 3, dtype=torch.bool), 0.99, 0.95)
    assert found.advantages[0].tolist() == pytest.approx([0.4514841, 0.3801, 0.2], abs=1e-6)
    assert found.returns[0].tolist() == pytest.approx([0.9514841, 0.9801, 1.0], abs=1e-6)


LENGTHS = torch.tensor([4, 1, 3])
MASK = torch.arange(4) < LENGTHS[:, None]


def _random() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 4, generator=generator), torch.randn(3, 4, generator=generator)


def test_gae_with_lambda_one_is_the_discounted_return_minus_the_value() -> None:
    rewards, values = _random()
    found = gae(rewards, values, MASK, 0.9, 1.0)
    for b, length in enumerate(LENGTHS.tolist()):
        for t in range(length):
            discounted = sum(0.9 ** (u - t) * float(rewards[b, u]) for u in range(t, length))
            assert float(found.returns[b, t]) == pytest.approx(discounted, abs=1e-5)
        assert found.advantages[b, length:].abs().sum() == 0 == found.returns[b, length:].abs().sum()


def test_gae_with_lambda_zero_is_the_temporal_difference() -> None:
    rewards, values = _random()
    found = gae(rewards, values, MASK, 0.9, 0.0)
    for b, length in enumerate(LENGTHS.tolist()):
        for t in range(length):
            after = float(values[b, t + 1]) if t + 1 < length else 0.0
            expected = float(rewards[b, t]) + 0.9 * after - float(values[b, t])
            assert float(found.advantages[b, t]) == pytest.approx(expected, abs=1e-5)


def test_masked_statistics_ignore_padding() -> None:
    x, _ = _random()
    kept = x[MASK]
    spoiled = torch.where(MASK, x, torch.full_like(x, 1e6))
    assert float(masked_mean(spoiled, MASK)) == pytest.approx(float(kept.mean()), abs=1e-5)
    assert float(masked_variance(spoiled, MASK)) == pytest.approx(float(kept.var(unbiased=False)), rel=1e-4)
    normal = masked_normalize(x, MASK)[MASK]
    assert float(normal.mean()) == pytest.approx(0, abs=1e-6)
    assert float(normal.std(unbiased=False)) == pytest.approx(1, abs=1e-4)
    assert mean_per_sequence(x, MASK)[1] == x[1, 0]


def test_ppo_gradient_at_ratio_one_is_the_policy_gradient() -> None:
    logprobs, advantages = _random()
    logprobs.requires_grad_()
    loss = clipped_policy_loss(logprobs, logprobs.detach(), advantages, MASK, 0.2)
    assert float(loss.ratio_mean) == 1.0 and float(loss.kl_old) == 0.0 and float(loss.clip_fraction) == 0.0
    loss.loss_B.sum().backward()
    expected = -advantages * MASK / LENGTHS[:, None]
    assert logprobs.grad is not None and torch.allclose(logprobs.grad, expected, atol=1e-6)


def test_ppo_clip_stops_the_gradient_where_the_ratio_has_gone_far_enough() -> None:
    old = torch.zeros(1, 4)
    new = torch.tensor([[0.5, 0.5, -0.5, -0.5]], requires_grad=True)
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    loss = clipped_policy_loss(new, old, advantages, torch.ones(1, 4, dtype=torch.bool), 0.2)
    expected = -(1.2 - math.exp(0.5) + math.exp(-0.5) - 0.8) / 4
    assert float(loss.loss_B.detach()) == pytest.approx(expected, abs=1e-6)
    loss.loss_B.sum().backward()
    assert new.grad is not None
    assert (new.grad != 0).tolist() == [[False, True, True, False]]
    assert float(loss.clip_fraction) == 1.0


def test_value_loss_takes_the_worse_of_clipped_and_plain() -> None:
    one = torch.ones(1, 1, dtype=torch.bool)
    value, old, target = torch.tensor([[1.0]]), torch.tensor([[0.0]]), torch.tensor([[1.0]])
    assert float(clipped_value_loss(value, old, target, one, 0.2)) == pytest.approx(0.5 * 0.64)
    assert float(clipped_value_loss(value, old, target, one, 5.0)) == 0.0


def test_kl_estimators_average_to_the_kl() -> None:
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.5, 0.3])
    kl = float((p * (p / q).log()).sum())
    assert float((p * kl_k1(p.log(), q.log())).sum()) == pytest.approx(kl, abs=1e-6)
    assert float((p * kl_k3(p.log(), q.log())).sum()) == pytest.approx(kl, abs=1e-6)
    assert bool((kl_k3(p.log(), q.log()) >= 0).all()) and bool((kl_k2(p.log(), q.log()) >= 0).all())


def test_token_logprobs_and_entropy() -> None:
    logits = torch.tensor([[[0.0, math.log(3.0)], [2.0, 2.0]]])
    assert token_logprobs(logits, torch.tensor([[1, 0]]))[0].tolist() == pytest.approx([math.log(0.75), math.log(0.5)])
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert entropy(logits)[0].tolist() == pytest.approx([expected, math.log(2.0)])


def test_prioritized_replay_formulas() -> None:
    p = sampling_probabilities([1, 2, 4], 0.6)
    assert p.tolist() == pytest.approx([0.2077657, 0.3149140, 0.4773203], abs=1e-6)
    assert importance_weights(p, 3, 0.4).tolist() == pytest.approx([1, 0.8467453, 0.7169776], abs=1e-6)
    assert sampling_probabilities([1, 2, 4], 0.0).tolist() == pytest.approx([1 / 3] * 3)
    assert importance_weights(p, 3, 0.0).tolist() == [1, 1, 1]


def test_pass_at_k() -> None:
    assert [pass_at_k(8, 2, k) for k in (1, 4, 8)] == pytest.approx([0.25, 0.7857143, 1.0], abs=1e-6)
    assert pass_at_k(8, 0, 8) == 0.0


def test_wilson_interval_of_ten_in_a_hundred() -> None:
    found = wilson_interval(10, 100)
    assert (found.low, found.high) == pytest.approx((0.0552291, 0.1743657), abs=1e-6)


@pytest.mark.parametrize(("value", "low", "high"), [(1.0, 0.9705, 1.0), (0.0, 0.0, 0.0295), (0.5, 0.48525, 0.51475)])
def test_marks_that_are_all_alike_are_not_certain(value: float, low: float, high: float) -> None:
    """100 of 100: the rule of three says that up to 3 in 100 may be otherwise (0.05^(1/100) = 0.9705)."""
    assert bootstrap_interval([value] * 100) == pytest.approx((value, low, high), abs=1e-4)


def test_bootstrap_interval_is_near_the_normal_one() -> None:
    values = [1.0] * 300 + [0.0] * 200
    found = bootstrap_interval(values)
    half = 1.96 * math.sqrt(0.6 * 0.4 / 500)
    assert found.mean == pytest.approx(0.6)
    assert (found.low, found.high) == pytest.approx((0.6 - half, 0.6 + half), abs=0.008)


def test_explained_variance() -> None:
    assert explained_variance([1, 2, 3], [1, 2, 3]) == 1.0
    assert explained_variance([2, 2, 2], [1, 2, 3]) == 0.0


def test_calibration_error() -> None:
    assert expected_calibration_error([0.05] * 100, [1.0] * 5 + [0.0] * 95) == pytest.approx(0.0, abs=1e-9)
    assert expected_calibration_error([0.95] * 100, [1.0] * 50 + [0.0] * 50) == pytest.approx(0.45)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auc_is_the_share_of_ordered_pairs(rows: list[tuple[int, bool]]) -> None:
    positive = [s for s, y in rows if y]
    negative = [s for s, y in rows if not y]
    if not positive or not negative:
        with pytest.raises(ValueError, match="both classes"):
            roc_auc([s for s, _ in rows], [y for _, y in rows])
        return
    wins = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative]
    assert roc_auc([s for s, _ in rows], [y for _, y in rows]) == pytest.approx(float(np.mean(wins)))


def test_f1_by_hand() -> None:
    """Two hits, one false alarm, one miss: precision and recall are both 2/3."""
    assert f1([True, True, True, False, False], [True, True, False, True, False]) == pytest.approx(2 / 3)
    assert f1([False], [False]) == 1.0
    assert f1([True], [False]) == 0.0
