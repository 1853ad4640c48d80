from __future__ import annotations

import asyncio
from typing import Any

import pytest
import torch
from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from o1kit.decoding import Decoding
from o1kit.engines.policy import PromptTemplate
from o1kit.engines.torch import TorchEngine
from o1kit.errors import DataError, ResourceError
from o1kit.functional.noise import derive
from o1kit.models.language_model import LanguageModel
from o1kit.protocols import Sampling
from o1kit.types import Completion
from tests.tiny import engine_of, tiny

PROMPTS = ["What is 1 + 1?\n", "abc", "a much longer prompt with many characters in it\n", "What is 1 + 2?\n"]


def sample_all(
    engine: TorchEngine,
    prompts: list[list[int]],
    n: int,
    decoding: Decoding = Decoding(),
    max_tokens: int = 20,
    **options: Any,
) -> list[list[Completion]]:
    async def run() -> list[list[Completion]]:
        samplings = [Sampling(derive(7, i), decoding, max_tokens, **options) for i in range(len(prompts))]
        requests = [engine.sample(prompt, n, how) for prompt, how in zip(prompts, samplings, strict=True)]
        return list(await asyncio.gather(*requests))

    return asyncio.run(run())


def full_logprobs(model: LanguageModel, tokens: list[int]) -> torch.Tensor:
    ids = torch.tensor([tokens])
    return torch.log_softmax(model.lm(ids).logits[0, :-1].float(), -1).gather(1, ids[0, 1:, None]).squeeze(1)


@torch.no_grad()
def test_greedy_tokens_equal_transformers_generate() -> None:
    model, template = tiny()
    prompts = [template.encode(p) for p in PROMPTS]
    ours = sample_all(engine_of(model, template, max_batch=3), prompts, 1, Decoding(greedy=True))
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
        prompts, sample_all(engine_of(model, template), prompts, 3, Decoding(temperature)), strict=True
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


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"compiled": False}, {"max_batch": 2}])
def test_tokens_of_a_text_are_as_probable_as_to_transformers(options: dict[str, Any]) -> None:
    model, template = tiny()
    engine = engine_of(model, template, **options)
    texts = [[*template.encode(p), *template.encode("1+1=2 ok\n" * n)] for n, p in enumerate(PROMPTS, 1)]

    async def read(start: int) -> list[list[float]]:
        return await asyncio.gather(*(engine.logprobs(tokens, start) for tokens in texts))

    for start in (1, 5, 3):  # the second and third go on from what is cached
        for tokens, found in zip(texts, asyncio.run(read(start)), strict=True):
            assert torch.allclose(torch.tensor(found), full_logprobs(model, tokens)[start - 1 :], atol=1e-4)
    assert engine.ledger.total.scored + engine.ledger.total.cached == 3 * sum(map(len, texts))
    for start in (0, len(texts[0])):
        with pytest.raises(ValueError, match="follows others"):
            asyncio.run(engine.logprobs(texts[0], start))


@pytest.mark.parametrize("options", [{"max_batch": 1}, {"max_batch": 5}, {"memory_mb": 0.07}, {"max_batch": 64}])
def test_samples_do_not_depend_on_batch_limit_or_cache(options: dict[str, float]) -> None:
    model, template = tiny()
    prompts = [template.encode(p) for p in PROMPTS]
    expected = sample_all(engine_of(model, template), prompts, 4)
    found = sample_all(engine_of(model, template, **options), prompts, 4)
    assert [[c.token_ids for c in g] for g in found] == [[c.token_ids for c in g] for g in expected]


def test_sequences_that_find_no_room_go_on_later_where_they_were() -> None:
    model, template = tiny(head=True)
    prompts = [template.encode(p) for p in PROMPTS]
    expected = sample_all(engine_of(model, template), prompts, 3, max_tokens=70, decoding=Decoding(alternatives=2))
    small = engine_of(model, template, memory_mb=0.07)  # two rows of 64 tokens, or one of 128
    found = sample_all(small, prompts, 3, max_tokens=70, decoding=Decoding(alternatives=2))
    assert max(len(c.token_ids) for group in found for c in group) > 64
    for ours, theirs in zip((c for g in found for c in g), (c for g in expected for c in g), strict=True):
        assert (ours.token_ids, ours.finish) == (theirs.token_ids, theirs.finish)
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)
        assert ours.values == pytest.approx(theirs.values, abs=1e-4)
        assert len(ours.alternatives) == len(ours.token_ids)
    assert small.peak_bytes <= 0.07 * 2**20


def test_a_sequence_beyond_the_memory_is_refused() -> None:
    model, template = tiny()
    engine = engine_of(model, template, memory_mb=0.04)
    with pytest.raises(ResourceError, match=r"a sequence of 96 tokens needs .* Raise engine.memory_mb"):
        sample_all(engine, [[5] * 10], 1, max_tokens=90)
    assert sample_all(engine, [[5] * 10], 1)
    with pytest.raises(ResourceError, match="a sequence of 80 tokens"):
        asyncio.run(engine_of(*tiny(head=True), memory_mb=0.04).score([5] * 80, [79]))


def test_abandoned_requests_leave_at_once() -> None:
    model, template = tiny(head=True)
    engine = engine_of(model, template)

    async def run() -> list[Completion]:
        tasks = [asyncio.ensure_future(engine.sample([5, i], 50, Sampling(key=i, max_tokens=80))) for i in range(5)]
        tasks.append(asyncio.ensure_future(engine.score([5, 6], [1])))
        kept = asyncio.ensure_future(engine.sample([7, 8], 1, Sampling(key=1, max_tokens=80)))
        for _ in range(12):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        return await kept

    (completion,) = asyncio.run(run())
    assert completion.token_ids == sample_all_alone(model, template)[0].token_ids
    assert not engine._flight.slots and not engine._waiting and not engine._scores
    assert engine.usage.generated < 5 * 50 * 20


def sample_all_alone(model: LanguageModel, template: PromptTemplate) -> list[Completion]:
    return asyncio.run(engine_of(model, template).sample([7, 8], 1, Sampling(key=1, max_tokens=80)))


@torch.no_grad()
def test_truncated_sampling_draws_from_the_tokens_that_transformers_keeps() -> None:
    model, template = tiny()
    prompt = template.encode(PROMPTS[2])
    logits = model.lm(torch.tensor([prompt])).logits[0, -1:].float()
    for how, warpers in (
        (Decoding(1.5, top_k=5), [TopKLogitsWarper(5)]),
        (Decoding(1.5, top_p=0.6), [TopPLogitsWarper(0.6)]),
        (Decoding(1.5, min_p=0.3), [MinPLogitsWarper(0.3)]),
        (Decoding(1.5, 30, 0.7, 0.1), [TopKLogitsWarper(30), TopPLogitsWarper(0.7), MinPLogitsWarper(0.1)]),
    ):
        scores = logits / how.temperature
        for warper in warpers:
            scores = warper(None, scores)
        expected = torch.softmax(scores[0], -1)
        (group,) = sample_all(engine_of(model, template), [prompt], 2000, how, max_tokens=1)
        counts = torch.bincount(torch.tensor([c.token_ids[0] for c in group]), minlength=len(expected))
        assert not counts[expected == 0].any()
        assert (counts / 2000 - expected).abs().max() < 0.05
        raw = torch.log_softmax(logits[0], -1)
        assert all(c.logprobs[0] == pytest.approx(float(raw[c.token_ids[0]]), abs=1e-4) for c in group)


def test_alternatives_are_the_likeliest_tokens_and_only_for_whom_asked() -> None:
    model, template = tiny()
    engine = engine_of(model, template)
    prompt = template.encode(PROMPTS[0])

    async def run() -> list[list[Completion]]:
        asked = engine.sample(prompt, 2, Sampling(1, Decoding(alternatives=3), 9))
        return list(await asyncio.gather(asked, engine.sample(prompt, 2, Sampling(key=2, max_tokens=9))))

    asked, others = asyncio.run(run())
    assert all(c.alternatives == () for c in others)
    for completion in asked:
        with torch.no_grad():
            logits = model.lm(torch.tensor([[*prompt, *completion.token_ids]])).logits[0]
        best = torch.log_softmax(logits.float(), -1)[len(prompt) - 1 : -1].topk(3)
        for found, ids, values in zip(completion.alternatives, best.indices, best.values, strict=True):
            assert [token for token, _ in found] == ids.tolist()
            assert [value for _, value in found] == pytest.approx(values.tolist(), abs=1e-4)


def test_stop_strings_end_a_sample_across_token_borders() -> None:
    model, template = tiny()
    engine = engine_of(model, template)
    prompt = template.encode(PROMPTS[0])
    (group,) = sample_all(engine, [prompt], 8, max_tokens=40)
    index, ids = next((i, c.token_ids) for i, c in enumerate(group) if len(template.decode(c.token_ids)) > 12)
    stop = template.decode(ids)[6:10]
    (stopped,) = sample_all(engine, [prompt], 8, max_tokens=40, stop_strings=("\x00", stop))
    shortest = next(i for i in range(1, len(ids) + 1) if stop in template.decode(ids[:i]))
    assert shortest < len(ids)
    assert stopped[index].token_ids == ids[:shortest]
    assert stopped[index].finish == "step"
    deaf = TorchEngine(model, template.eos_id)
    with pytest.raises(ValueError, match="stop strings need"):
        sample_all(deaf, [prompt], 1, stop_strings=("a",))


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


def test_a_delimiter_on_the_last_place_of_the_context_ends_the_chain() -> None:
    """A `step` there would promise another one, which has no room."""
    model, template = tiny(context=32)
    every = frozenset(range(model.vocabulary_size)) - {template.eos_id}
    ends = {}
    for length in (30, 31):
        sampling = Sampling(1, max_tokens=9, stop_ids=every)
        (made,) = asyncio.run(engine_of(model, template).sample([5] * length, 1, sampling))
        ends[length] = (len(made.token_ids), made.finish)
    assert ends == {30: (1, "step"), 31: (1, "context")}


def test_a_prompt_beyond_the_context_is_refused_and_the_engine_lives_on() -> None:
    model, template = tiny(context=32)
    engine = engine_of(model, template)
    with pytest.raises(DataError, match="does not fit the model's context of 32"):
        asyncio.run(engine.sample([5] * 40, 1, Sampling(key=1)))
    (group,) = sample_all(engine, [[5] * 10], 1)
    assert len(group[0].token_ids) <= 22


def test_a_bad_request_fails_alone() -> None:
    model, template = tiny()
    engine = engine_of(model, template)

    async def run() -> list[object]:
        bad = (engine.sample(prompt, 1, Sampling(key=1)) for prompt in ([10**6, 1], [-1], []))
        good = engine.sample([1, 2], 1, Sampling(key=1))
        return list(await asyncio.gather(*bad, good, return_exceptions=True))

    *bad, good = asyncio.run(run())
    assert all(isinstance(result, DataError) for result in bad)
    assert isinstance(good, list)
    with pytest.raises(DataError, match="an empty prompt"):
        asyncio.run(engine_of(*tiny(head=True)).score([], [0]))
    with pytest.raises(ValueError, match="no scalar head"):
        asyncio.run(engine.score([1], [0]))


def test_a_failing_model_reaches_every_waiter() -> None:
    model, template = tiny()
    engine = engine_of(model, template)
    sample_all(engine, [[1, 2]], 1)

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    hook = model.lm.get_input_embeddings().register_forward_pre_hook(fail)

    async def run() -> list[object]:
        waiters = (engine.sample([1, i], 2, Sampling(key=1)) for i in range(5))
        return list(await asyncio.gather(*waiters, return_exceptions=True))

    assert all("out of memory" in str(result) for result in asyncio.run(run()))
    hook.remove()
    (group,) = sample_all(engine, [[1, 2]], 1)
    assert group[0].token_ids
