"""The torch engine against transformers' own `generate` and forward pass, for each model family recipes can name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from o1kit.decoding import Decoding
from o1kit.engines.torch import TorchEngine
from o1kit.functional.noise import derive
from o1kit.models.config import LoraConfig
from o1kit.models.language_model import LanguageModel
from o1kit.models.load import add_lora
from o1kit.protocols import Sampling
from o1kit.types import Completion

SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SLIDING = ["sliding_attention", "full_attention"] * 2
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen2-sliding": {"use_sliding_window": True, "sliding_window": 8, "layer_types": SLIDING},
    "qwen3": {},
    "gemma": {},
    "gemma2": {"sliding_window": 8, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 5.0},
    "gemma3_text": {"sliding_window": 8, "query_pre_attn_scalar": 8},
    "smollm3": {},
    "granite": {"logits_scaling": 4.0, "attention_multiplier": 0.2},
    "cohere": {"logit_scale": 0.5},
    "mistral": {"sliding_window": 8},
    "phi3": {"original_max_position_embeddings": 128},
}
PROMPTS = [[3, 4, 5], [9], list(range(5, 40)), [3, 4, 5, 6], list(range(5, 25))]


def build(family: str) -> LanguageModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family.split("-")[0], **{**SHAPE, **FAMILIES[family]})
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(6.0)
    return LanguageModel(model)


def sample_all(engine: TorchEngine, decoding: Decoding, n: int = 1) -> list[list[Completion]]:
    async def run() -> list[list[Completion]]:
        requests = [engine.sample(p, n, Sampling(derive(3, i), decoding, 24)) for i, p in enumerate(PROMPTS)]
        return list(await asyncio.gather(*requests))

    return asyncio.run(run())


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_greedy_tokens_are_those_of_generate(family: str) -> None:
    model = build(family)
    before = model.decoder.config._attn_implementation
    ours = sample_all(TorchEngine(model, 2, max_batch=3), Decoding(greedy=True))
    assert model.decoder.config._attn_implementation == before
    for prompt, (completion,) in zip(PROMPTS, ours, strict=True):
        ids = torch.tensor([prompt])
        theirs = model.lm.generate(ids, max_new_tokens=24, do_sample=False, attention_mask=torch.ones_like(ids))
        assert list(completion.token_ids) == theirs[0, len(prompt) :].tolist()


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_logprobs_are_those_of_a_full_forward_pass(family: str) -> None:
    model = build(family)
    engine = TorchEngine(model, 2)
    for _ in range(2):  # the second time from cached prefixes
        for prompt, group in zip(PROMPTS, sample_all(engine, Decoding(), 3), strict=True):
            for completion in group:
                tokens = torch.tensor([[*prompt, *completion.token_ids]])
                logits = torch.log_softmax(model.lm(tokens).logits[0, :-1].float(), -1)
                expected = logits.gather(1, tokens[0, 1:, None])[len(prompt) - 1 :, 0]
                assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


@torch.no_grad()
def test_adapters_take_part() -> None:
    model = build("llama")
    plain = sample_all(TorchEngine(model, 2), Decoding(), 2)
    add_lora(model, LoraConfig(rank=4, targets=["q_proj", "v_proj", "down_proj"]))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.normal_(std=0.5)
    adapted = sample_all(TorchEngine(model.eval(), 2), Decoding(), 2)
    assert adapted != plain
    for prompt, group in zip(PROMPTS, adapted, strict=True):
        for completion in group:
            tokens = torch.tensor([[*prompt, *completion.token_ids]])
            logits = torch.log_softmax(model.lm(tokens).logits[0, :-1].float(), -1)
            expected = logits.gather(1, tokens[0, 1:, None])[len(prompt) - 1 :, 0]
            assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2"])
@torch.no_grad()
def test_half_precision_halves_the_memory_and_stays_close(family: str) -> None:
    model = build(family)
    exact = TorchEngine(model, 2)
    sample_all(exact, Decoding(), 2)
    model.lm.to(torch.bfloat16)
    engine = TorchEngine(model, 2)
    differences = []
    for prompt, group in zip(PROMPTS, sample_all(engine, Decoding(), 2), strict=True):
        for completion in group:
            tokens = torch.tensor([[*prompt, *completion.token_ids]])
            logits = torch.log_softmax(model.lm(tokens).logits[0, :-1].float(), -1)
            expected = logits.gather(1, tokens[0, 1:, None])[len(prompt) - 1 :, 0]
            differences += (torch.tensor(completion.logprobs) - expected).abs().tolist()
    # bfloat16 keeps 8 bits: two orders of summation differ by about 1 % of a logit, of which there are tens here
    assert sum(differences) / len(differences) < 0.1
    assert engine.peak_bytes < 0.6 * exact.peak_bytes
