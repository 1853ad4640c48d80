"""Small real models for tests: random weights, the real tokenizer."""

from __future__ import annotations

import torch

from o1kit.engines.policy import LanguagePolicy, PromptTemplate
from o1kit.engines.torch import TorchEngine
from o1kit.models.config import ScratchModelConfig
from o1kit.models.language_model import LanguageModel
from o1kit.models.load import build_scratch
from o1kit.models.tokenizer import build_char_tokenizer
from o1kit.types import Problem

PHRASES = [" ok\n", " wait\n", "So the answer is ", "1+1="]


def tiny(seed: int = 0, head: bool = False, context: int = 96) -> tuple[LanguageModel, PromptTemplate]:
    """A two-layer model whose logits are far from uniform."""
    tokenizer = build_char_tokenizer(PHRASES)
    config = ScratchModelConfig(
        kind="scratch",
        hidden_size=32,
        intermediate_size=48,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        context_length=context,
    )
    model = build_scratch(config, tokenizer, seed)
    with torch.no_grad():
        model.lm.get_input_embeddings().weight.mul_(5.0)
    if head:
        model.add_head()
        assert model.head is not None
        torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(seed))
    return model.eval(), PromptTemplate(tokenizer)


def engine_of(model: LanguageModel, template: PromptTemplate, **options: float) -> TorchEngine:
    """An engine over a tiny model."""
    return TorchEngine(model, template.eos_id, decode=template.decode, **options)  # type: ignore[arg-type]


def policy_of(model: LanguageModel, template: PromptTemplate, **options: float) -> LanguagePolicy:
    """A policy over a tiny model."""
    return LanguagePolicy(engine_of(model, template, **options), template, max_tokens=24)


def problem(text: str = "What is 1 + 1?", name: str = "p") -> Problem:
    """A problem."""
    return Problem(name, "test", text)
