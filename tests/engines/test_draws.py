"""The draws of kernels.c against torch, to the token."""

from __future__ import annotations

import pytest
import torch

from o1kit.engines.torch import compiled, draws
from o1kit.functional.noise import uniform
from o1kit.functional.sampling import draw

needs_compiler = pytest.mark.skipif(compiled.library() is None, reason="no C compiler on this machine")


@needs_compiler
@pytest.mark.parametrize("size", [2, 15, 16, 129, 548, 3000])
def test_draws_are_those_of_the_cumulative_distribution(size: int) -> None:
    torch.manual_seed(size)
    n = 300
    logits = torch.randn(n, size) * 3
    logits[::3, ::2] = float("-inf")
    temperatures = torch.tensor([1.0, 0.6, 0.0, 1.7])[torch.arange(n) % 4]
    state = torch.stack([torch.randint(0, 6, (n,)), torch.full((n,), 6), torch.randint(-(2**62), 2**62, (n,))], 1)
    state = torch.cat([state, torch.arange(n)[:, None] % 2], 1).contiguous()
    before = state.clone()
    stops = torch.zeros(2, size, dtype=torch.bool)
    stops[1, 1] = True
    tokens, found = torch.zeros(n, 8, dtype=torch.long), torch.zeros(n, 8)
    ended = draws.append(logits, temperatures, state, stops, tokens, found)
    heat = torch.where(temperatures > 0, temperatures, 1.0)
    noise = uniform(before[:, 2], before[:, 0])
    expected = draw(torch.softmax(logits / heat[:, None], -1), noise)
    expected = torch.where(temperatures > 0, expected, logits.argmax(-1))
    at = before[:, :1]
    assert torch.equal(tokens.gather(1, at)[:, 0], expected)
    plain = torch.log_softmax(logits, -1).gather(1, expected[:, None])[:, 0]
    assert torch.allclose(found.gather(1, at)[:, 0], plain, atol=1e-5)
    assert torch.equal(state[:, 0], before[:, 0] + 1)
    assert torch.equal(state[:, 1:], before[:, 1:])
    stopped = (before[:, 3] == 1) & (expected == 1)
    assert ended == (stopped | (state[:, 0] >= 6)).nonzero()[:, 0].tolist()
    assert 0 < len(ended) < n


@needs_compiler
def test_extreme_temperatures_and_logits_that_are_no_numbers() -> None:
    n, size = 4000, 37
    logits = torch.arange(size).float().repeat(n, 1)
    logits[2::4, 33] = float("nan")
    temperatures = torch.tensor([float("inf"), 1e-40, 1.0, 0.0]).repeat(n // 4)
    state = torch.stack([torch.zeros(n), torch.full((n,), 6), torch.arange(n), torch.zeros(n)], 1).long()
    tokens, found = torch.zeros(n, 8, dtype=torch.long), torch.zeros(n, 8)
    draws.append(logits, temperatures, state, torch.zeros(1, size, dtype=torch.bool), tokens, found)
    drawn = tokens[:, 0].view(-1, 4)
    assert (drawn[:, 0] == size - 1).float().mean() < 0.06, "all are alike at an infinite temperature"
    assert len(drawn[:, 0].unique()) == size
    assert (drawn[:, [1, 3]] == size - 1).all()
    assert found[:, 0].isnan().view(-1, 4).sum(0).tolist() == [0, 0, n // 4, 0]
