from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o1kit.replay.buffer import PrioritizedBuffer
from o1kit.replay.sampler import OnPolicyBatches, ReplayBatches
from o1kit.replay.segment_tree import SumTree


class Item(NamedTuple):
    name: int
    policy_version: int = 0


def filled(priorities: list[float], alpha: float = 1.0, floor: float = 1e-9, capacity: int = 16) -> PrioritizedBuffer:
    buffer: PrioritizedBuffer[Item] = PrioritizedBuffer(capacity, alpha, floor)
    buffer.add([Item(i) for i in range(len(priorities))], priorities)
    return buffer


def shares(buffer: PrioritizedBuffer, size: int, beta: float = 0.0) -> np.ndarray:
    drawn = buffer.sample(size, np.random.default_rng(0), beta)
    return np.bincount([item.name for item in drawn.items], minlength=len(buffer)) / size


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=33), st.integers(0, 2**31))
def test_tree_equals_brute_force(values: list[int], seed: int) -> None:
    tree = SumTree(len(values))
    tree.set(np.arange(len(values)), np.asarray(values, dtype=np.float64))
    assert tree.total == sum(values)
    if tree.total == 0:
        return
    sums = np.random.default_rng(seed).random(20) * tree.total
    cumulative = np.cumsum(values)
    assert tree.find(sums).tolist() == [int(np.searchsorted(cumulative, s, side="right")) for s in sums]


def test_draws_follow_the_priorities() -> None:
    found = shares(filled([1.0, 2.0, 4.0], alpha=0.6), 30_000)
    assert found == pytest.approx([0.2077657, 0.3149140, 0.4773203], abs=0.002)


def test_alpha_zero_is_uniform_and_beta_zero_gives_weights_of_one() -> None:
    buffer = filled([1.0, 2.0, 4.0, 100.0], alpha=0.0)
    assert shares(buffer, 40_000) == pytest.approx([0.25] * 4, abs=0.002)
    assert buffer.sample(50, np.random.default_rng(1), 0.0).weights.tolist() == [1.0] * 50


def test_an_item_of_priority_zero_stays_within_reach() -> None:
    buffer = filled([0.0, 1.0], alpha=0.5, floor=1e-3)
    expected = np.sqrt(0.001) / (np.sqrt(0.001) + np.sqrt(1.001))
    assert shares(buffer, 50_000)[0] == pytest.approx(expected, rel=0.1)
    assert shares(filled([0.0, 0.0], floor=1e-3), 1000) == pytest.approx([0.5, 0.5], abs=0.05)


def test_importance_weights_undo_the_priorities() -> None:
    buffer = filled([1.0, 3.0, 6.0], alpha=1.0)
    drawn = buffer.sample(30_000, np.random.default_rng(0), 1.0)
    totals = np.zeros(3)
    np.add.at(totals, [item.name for item in drawn.items], drawn.weights)
    assert totals / totals.sum() == pytest.approx([1 / 3] * 3, abs=0.01)


def test_new_priorities_reach_the_item_they_belong_to() -> None:
    buffer = filled([1.0, 1.0, 1.0, 1.0])
    drawn = buffer.sample(64, np.random.default_rng(0), 0.5)
    buffer.update_priorities(drawn.slots, drawn.serials, [float(item.name == 2) for item in drawn.items])
    assert shares(buffer, 1000)[2] == 1.0


def test_a_priority_for_an_item_that_has_left_is_passed_over() -> None:
    buffer = filled([1.0, 1.0], capacity=2)
    drawn = buffer.sample(8, np.random.default_rng(0), 0.5)
    buffer.add([Item(7), Item(8)], [1.0, 1.0])
    buffer.update_priorities(drawn.slots, drawn.serials, [1e9] * 8)
    names = [item.name for item in buffer.sample(1000, np.random.default_rng(0), 0.5).items]
    assert set(names) == {7, 8} and 400 < names.count(7) < 600


def test_the_oldest_leave_a_full_ring_and_old_policies_leave_by_age() -> None:
    buffer: PrioritizedBuffer[Item] = PrioritizedBuffer(3, 0.6, 1e-3)
    buffer.add([Item(i, i // 2) for i in range(5)])
    assert sorted(item.name for item in buffer.items()) == [2, 3, 4]
    assert buffer.drop_older_than(2) == 2
    assert [item.name for item in buffer.items()] == [4] and len(buffer) == 1
    assert {item.name for item in buffer.sample(100, np.random.default_rng(0), 0.5).items} == {4}


def test_state_survives_a_round_trip_through_json() -> None:
    buffer = filled([1.0, 2.0, 3.0, 4.0, 5.0], alpha=0.7, capacity=4)
    state = json.loads(json.dumps(buffer.state_dict(list)))
    other: PrioritizedBuffer[Item] = PrioritizedBuffer(4, 0.7, 1e-9)
    other.load_state_dict(state, lambda row: Item(*row))
    for seed in range(3):
        a = buffer.sample(32, np.random.default_rng(seed), 0.4)
        b = other.sample(32, np.random.default_rng(seed), 0.4)
        assert a.items == b.items and a.weights.tolist() == b.weights.tolist()
        assert a.serials.tolist() == b.serials.tolist()
    for each in (buffer, other):
        each.add([Item(9)])
    assert buffer.items() == other.items()


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_a_senseless_priority_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        filled([bad])


def test_an_empty_buffer_cannot_be_sampled() -> None:
    with pytest.raises(ValueError, match="empty"):
        PrioritizedBuffer(4, 0.5, 1e-3).sample(2, np.random.default_rng(0), 0.4)


def test_replay_batches_see_priorities_written_between_two_draws() -> None:
    buffer = filled([1.0, 1.0, 1.0])
    batches = ReplayBatches(buffer, 30, 2, np.random.default_rng(0), 0.4)
    assert len(batches) == 2
    iterator = iter(batches)
    first = next(iterator)
    buffer.update_priorities(first.slots, first.serials, [float(item.name == 1) for item in first.items])
    assert {item.name for item in next(iterator).items} == {1}


def test_on_policy_batches_use_every_item_equally_often() -> None:
    batches = OnPolicyBatches([Item(i) for i in range(6)], 4, 3, np.random.default_rng(0))
    names = [item.name for drawn in batches for item in drawn.items]
    assert sorted(names) == sorted([*range(6), *range(6)])
