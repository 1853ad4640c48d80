from __future__ import annotations

import numpy as np
import torch

from o1kit.functional.noise import derive, uniform


def test_uniform_numbers_are_uniform_and_uncorrelated() -> None:
    keys = torch.tensor([derive(0, i) for i in range(200)]).repeat_interleave(100)
    numbers = uniform(keys, torch.arange(100).repeat(200)).reshape(200, 100).numpy()
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    assert ((counts - 1000) ** 2 / 1000).sum() < 45  # chi-square, 19 degrees of freedom, p = 0.001 at 43.8
    assert abs(np.corrcoef(numbers[:, :-1].ravel(), numbers[:, 1:].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(numbers[:-1].ravel(), numbers[1:].ravel())[0, 1]) < 0.03


def test_a_number_depends_on_its_key_and_counter_only() -> None:
    keys, counters = torch.tensor([3, 5, 3]), torch.tensor([1, 1, 2])
    together = uniform(keys, counters)
    assert together.tolist() == [float(uniform(keys[i : i + 1], counters[i : i + 1])) for i in range(3)]
    assert len(set(together.tolist())) == 3


def test_derived_keys_differ_by_order_and_stay_in_63_bits() -> None:
    keys = {derive(1, 2, 3), derive(1, 3, 2), derive(2, 1, 3), derive(1, 2), derive(1)}
    assert len(keys) == 5
    assert all(0 <= key < 2**63 for key in keys)
