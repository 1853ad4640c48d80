from __future__ import annotations

import asyncio

import pytest
import torch

from o1kit.engines.torch import TorchEngine
from o1kit.errors import DataError
from o1kit.functional.noise import derive
from o1kit.models.language_model import LanguageModel
from o1kit.protocols import Sampling
from o1kit.types import Completion
from tests.tiny import engine_of, tiny

PROMPTS = ["What is 1 + 1?\n", "abc", "a much longer prompt with many characters in it\n", "What is 1 + 2?\n"]


def sample_all(engine: TorchEngine, prompts: list[list[int]], n: int, **options: object) -> list[list[Completion]]:
    async def run() -> list[list[Completion]]:
        requests = [
            engine.sample(prompt, n, Sampling(key=derive(7, i), max_tokens=20, **options))  # type: ignore[arg-type]
            for i, prompt in enumerate(prompts)
        ]
        return list(await asyncio.gather(*requests))

    return asyncio.run(run())


def full_logprobs(model: LanguageModel, tokens: list[int]) -> torch.Tensor:
    ids = torch.tensor([tokens])
    return torch.log_softmax(model.lm(ids).logits[0, :-1].float(), -1).gather(1, ids[0, 1:, None]).squeeze(1)


@torch.no_grad()
def test_greedy_tokens_equal_transformers_generate() -> None:
    model, template = tiny()
    prompts = [template.encode(p) for p in PROMPTS]
    ours = sample_all(engine_of(model, template, max_batch=3), prompts, 1, greedy=True)
    for prompt, (completion,) in zip(prompts, ours, strict=True):
        ids = torch.tensor([prompt])
        theirs = model.lm.generate(ids, max_new_tokens=20, do_sample=False, attention_mask=torch.ones_like(ids))
        assert list(completion.token_ids) == theirs[0, len(prompt) :].tolist()


@torch.no_grad()
@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_logprobs_are_those_of_a_full_untempered_forward_pass(temperature: float) -> None:
    model, template = tiny()
    prompts = [template.encode(p) for p in PROMPTS]
    for prompt, group in zip(
        prompts, sample_all(engine_of(model, template), prompts, 3, temperature=temperature), strict=True
    ):
        for completion in group:
            expected = full_logprobs(model, [*prompt, *completion.token_ids])[len(prompt) - 1 :]
            assert torch.allclose(torch.tensor(completion.logprobs), expected, atol=1e-4)


@torch.no_grad()
def test_values_and_scores_are_the_head_at_the_position() -> None:
    model, template = tiny(head=True)
    prompts = [template.encode(p) for p in PROMPTS]
    engine = engine_of(model, template)
    for prompt, group in zip(prompts, sample_all(engine, prompts, 2), strict=True):
        for completion in group:
            tokens = [*prompt, *completion.token_ids]
            expected = model.head_logits(model.hidden(torch.tensor([tokens]), use_cache=False))[0]
            assert torch.allclose(torch.tensor(completion.values), expected[len(prompt) - 1 : -1], atol=1e-4)
            for positions in ([len(tokens) - 1], [0, len(prompt), len(tokens) - 1]):
                scores = asyncio.run(engine.score(tokens, positions))
                assert torch.allclose(torch.tensor(scores), expected[positions], atol=1e-4)


@pytest.mark.parametrize("options", [{"max_batch": 1}, {"max_batch": 5}, {"cache_mb": 0}, {"max_batch": 64}])
def test_samples_do_not_depend_on_batch_limit_or_cache(options: dict[str, int]) -> None:
    model, template = tiny()
    prompts = [template.encode(p) for p in PROMPTS]
    expected = sample_all(engine_of(model, template), prompts, 4)
    found = sample_all(engine_of(model, template, **options), prompts, 4)
    assert [[c.token_ids for c in g] for g in found] == [[c.token_ids for c in g] for g in expected]


def test_sample_i_is_the_same_whatever_n() -> None:
    model, template = tiny()
    prompt = template.encode(PROMPTS[0])
    (many,) = sample_all(engine_of(model, template), [prompt], 6)
    (few,) = sample_all(engine_of(model, template), [prompt], 2)
    assert [c.token_ids for c in few] == [c.token_ids for c in many[:2]]
    assert len({c.token_ids for c in many}) > 1


def test_steps_continue_from_cached_prefixes() -> None:
    model, template = tiny()
    engine = engine_of(model, template)
    prompt = template.encode(PROMPTS[0])

    async def chain() -> list[int]:
        tokens = list(prompt)
        for _ in range(3):
            sampling = Sampling(key=3, max_tokens=8, stop_ids=frozenset(range(len(template.tokenizer))))
            (completion,) = await engine.sample(tokens, 1, sampling)
            tokens += completion.token_ids
        return tokens

    tokens = asyncio.run(chain())
    assert len(tokens) == len(prompt) + 3
    assert engine.usage.cached >= 2 * (len(prompt) - 1)
    assert engine.usage.prompt <= len(prompt) + 3


@torch.no_grad()
def test_refresh_forgets_the_old_weights() -> None:
    model, template = tiny()
    engine = engine_of(model, template)
    prompt = template.encode(PROMPTS[0])
    sample_all(engine, [prompt], 2)
    for parameter in model.parameters():
        parameter.mul_(1.1)
    engine.refresh()
    (group,) = sample_all(engine, [prompt], 2)
    for completion in group:
        expected = full_logprobs(model, [*prompt, *completion.token_ids])[len(prompt) - 1 :]
        assert torch.allclose(torch.tensor(completion.logprobs), expected, atol=1e-4)


def test_a_prompt_beyond_the_context_is_refused_and_the_engine_lives_on() -> None:
    model, template = tiny(context=32)
    engine = engine_of(model, template)
    with pytest.raises(DataError, match="does not fit the model's context of 32"):
        asyncio.run(engine.sample([5] * 40, 1, Sampling(key=1)))
    (group,) = sample_all(engine, [[5] * 10], 1)
    assert len(group[0].token_ids) <= 22


def test_a_failing_model_reaches_every_waiter() -> None:
    model, template = tiny()
    engine = engine_of(model, template)

    async def run() -> list[object]:
        bad = engine.sample([10**6, 1], 1, Sampling(key=1))
        good = engine.sample([1, 2], 1, Sampling(key=1))
        return list(await asyncio.gather(bad, good, return_exceptions=True))

    assert all(isinstance(result, Exception) for result in asyncio.run(run()))
    (group,) = sample_all(engine, [[1, 2]], 1)
    assert group[0].token_ids
