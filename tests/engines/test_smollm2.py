"""The torch engine on a real language model: chat prompts, a large vocabulary, text that stops at strings."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import torch

from o1kit.decoding import Decoding
from o1kit.engines.policy import LanguagePolicy, PromptTemplate
from o1kit.engines.torch import TorchEngine
from o1kit.protocols import Sampling
from o1kit.types import Completion, Problem
from tests.smollm2 import smollm2

QUESTIONS = ["What is the capital of France?", "Name three colours.", "What is 12 + 7? Answer with the number only."]


@pytest.mark.slow
@torch.no_grad()
def test_smollm2_answers_as_under_generate() -> None:
    model, tokenizer = smollm2()
    template = PromptTemplate(tokenizer)
    engine = TorchEngine(model, template.eos_id, decode=template.decode)
    policy = LanguagePolicy(engine, template, max_tokens=24)
    prompts = [template.prompt(Problem(str(i), "chat", text)) for i, text in enumerate(QUESTIONS)]

    async def ask(**options: Any) -> list[Completion]:
        how = Sampling(1, Decoding(greedy=True), 24, **options)
        return [found[0] for found in await asyncio.gather(*(engine.sample(p, 1, how) for p in prompts))]

    for prompt, completion in zip(prompts, asyncio.run(ask()), strict=True):
        ids = torch.tensor([prompt])
        out = model.lm.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False)
        assert list(completion.token_ids) == out[0, len(prompt) :].tolist()
        logits = torch.log_softmax(model.lm(out).logits[0, len(prompt) - 1 : -1].float(), -1)
        expected = logits.gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
        assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-3)
    assert "Paris" in template.decode(asyncio.run(ask())[0].token_ids)
    (stopped, *_) = asyncio.run(ask(stop_strings=("Par", "aris")))
    assert template.decode(stopped.token_ids).rstrip().endswith("Paris")
    assert policy.answer(policy.start(Problem("0", "chat", "hm"))) is None
