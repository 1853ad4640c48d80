"""What training keeps and what the engine keeps, counted in real passes."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest
import torch

from o1kit.decoding import Decoding
from o1kit.models.config import LoraConfig, TorchEngineConfig
from o1kit.models.load import add_lora, build_scratch
from o1kit.models.tokenizer import build_char_tokenizer
from o1kit.planning.lengths import Lengths
from o1kit.planning.memory import memory_of, saved_per_token, trainable
from o1kit.planning.weights import scratch
from o1kit.planning.work import Work
from o1kit.protocols import Sampling
from o1kit.stages.optim import build_optimizer
from tests.planning.test_weights import config_of
from tests.small import small
from tests.tiny import engine_of, tiny

SHAPES = [(128, 256, 4, 4, 2), (64, 256, 2, 4, 4), (256, 700, 2, 8, 2)]


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=8)], ids=["all weights", "adapters"])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_the_layers_keep_for_the_backward_pass(
    shape: tuple[int, int, int, int, int], lora: LoraConfig | None
) -> None:
    tokenizer = build_char_tokenizer([])
    model = build_scratch(config_of(*shape), tokenizer, 0)
    if lora is not None:
        add_lora(model, lora)
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    tokens = torch.randint(3, 90, (8, 40))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.hidden(tokens, use_cache=False)
    real = sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / tokens.numel()
    planned = saved_per_token(scratch(config_of(*shape), len(tokenizer)), lora)
    assert planned == pytest.approx(real, rel=0.06)


@pytest.mark.parametrize("muon", [None, 0.01])
def test_what_gradients_and_optimizer_take(muon: float | None) -> None:
    recipe = small({"sft": {"optimizer": {"lr": 1e-3, "muon_lr": muon}}})
    stage = recipe.stages[0]
    tokenizer = build_char_tokenizer([])
    config = config_of(64, 96, 2, 4, 2)
    model, weights = build_scratch(config, tokenizer, 0), scratch(config, len(tokenizer))
    optimizer = build_optimizer(model, stage.optimizer, 10)["optimizer"]  # type: ignore[union-attr]
    model(torch.randint(3, 90, (2, 8))).logits.sum().backward()
    optimizer.step()
    parts = getattr(optimizer, "parts", (optimizer,))
    state = sum(
        x.nbytes for part in parts for s in part.state.values() for x in s.values() if torch.is_tensor(x) and x.ndim
    )
    found = memory_of(stage, Work(), weights, Lengths(5, 9, 5, 9, 1), TorchEngineConfig(), 0, 0)
    assert found.optimizer == state
    assert found.gradients == sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
    assert trainable(stage, weights) * 4 == found.gradients


@pytest.mark.parametrize("memory_mb", [1, 8])
def test_the_engine_stays_below_what_is_planned_and_comes_near_it(memory_mb: int) -> None:
    model, template = tiny(context=96)
    engine = engine_of(model, template, max_batch=32, memory_mb=memory_mb)
    rng = random.Random(0)
    prompts = [[rng.randrange(3, 90) for _ in range(rng.randrange(5, 30))] for _ in range(90)]

    async def draw() -> None:
        work = (engine.sample(p, 1, Sampling(i, Decoding(), 45)) for i, p in enumerate(prompts))
        await asyncio.gather(*work)

    asyncio.run(draw())
    weights = replace(scratch(config_of(32, 48, 2, 4, 2), len(template.tokenizer)), context=96)
    work = Work(rows=90, engines=1, prefixes=sum(map(len, prompts)))
    options = TorchEngineConfig(max_batch=32, memory_mb=memory_mb)
    found = memory_of(small().stages[-1], work, weights, Lengths(17, 30, 46, 46, 1), options, 0, 0)
    # Beside the rows there may be the smaller ones they grew out of.
    assert 0.4 * found.kv_cache < engine.peak_bytes <= found.kv_cache
