"""kernels.c: its passes against transformers, whatever is computed together, and doing without."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from o1kit.decoding import Decoding
from o1kit.engines.torch import TorchEngine, compiled, native
from o1kit.engines.torch.row_cache import RowCache
from o1kit.functional.noise import derive
from o1kit.models.config import LoraConfig
from o1kit.models.language_model import LanguageModel
from o1kit.models.load import add_lora
from o1kit.protocols import Sampling
from o1kit.types import Completion

needs_compiler = pytest.mark.skipif(compiled.library() is None, reason="no C compiler on this machine")
SHAPE = {
    "vocab_size": 150,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 192,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SLIDING = ["sliding_attention", "full_attention", "sliding_attention"]
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama-biased": {"attention_bias": True, "mlp_bias": True},
    "llama-pairs": {"num_attention_heads": 4, "head_dim": 32},
    "llama-alone": {"num_key_value_heads": 6, "head_dim": 64},
    "llama-odd": {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 48, "intermediate_size": 72},
    "llama-yarn": {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}},
    "mistral": {"sliding_window": 8},
    "qwen2": {},
    "qwen2-sliding": {"use_sliding_window": True, "sliding_window": 20, "layer_types": SLIDING},
    "qwen3": {"head_dim": 32},
}
PROMPTS = [[3, 4, 5], [9], list(range(5, 140)), [3, 4, 5, 6], list(range(5, 25)), [*range(5, 25), 7, 8]]


def build(name: str) -> LanguageModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(name.split("-")[0], **{**SHAPE, **MODELS[name]})
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6.0) if parameter.dim() > 1 else parameter.add_(torch.rand_like(parameter) * 0.2)
    return LanguageModel(model)


def sample_all(engine: TorchEngine, decoding: Decoding = Decoding(), n: int = 1) -> list[list[Completion]]:
    async def run() -> list[list[Completion]]:
        requests = [engine.sample(p, n, Sampling(derive(3, i), decoding, 24)) for i, p in enumerate(PROMPTS)]
        return list(await asyncio.gather(*requests))

    return asyncio.run(run())


def logprobs(model: LanguageModel, prompt: list[int], completion: Completion) -> list[float]:
    """What a full pass of transformers says about a completion."""
    tokens = torch.tensor([[*prompt, *completion.token_ids]])
    found = torch.log_softmax(model.lm(tokens).logits[0, :-1].float(), -1).gather(1, tokens[0, 1:, None])
    return list(found[len(prompt) - 1 :, 0].tolist())


# ---- passes --------------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_tokens_and_logprobs_are_those_of_transformers(name: str) -> None:
    model = build(name)
    assert native.suits(model.decoder)
    for prompt, (completion,) in zip(PROMPTS, sample_all(TorchEngine(model, 2), Decoding(greedy=True)), strict=True):
        ids = torch.tensor([prompt])
        theirs = model.lm.generate(ids, max_new_tokens=24, do_sample=False, attention_mask=torch.ones_like(ids))
        assert list(completion.token_ids) == theirs[0, len(prompt) :].tolist()
    engine = TorchEngine(model, 2)
    for _ in range(2):  # the second time from cached prefixes
        for prompt, group in zip(PROMPTS, sample_all(engine, n=3), strict=True):
            for completion in group:
                assert completion.logprobs == pytest.approx(logprobs(model, prompt, completion), abs=1e-4)


def room(model: LanguageModel, rows: int, length: int) -> RowCache:
    """A cache whose memory has held something else before."""
    attention = model.decoder.layers[0].self_attn
    heads = attention.k_proj.out_features // attention.head_dim
    cache = RowCache(rows, 2**30)
    for _ in model.decoder.layers:
        cache.keys.append(torch.full((rows, heads, length, attention.head_dim), float("nan")))
        cache.values.append(torch.full((rows, heads, length, attention.head_dim), float("nan")))
    cache.rows, cache.length = rows, length
    return cache


@needs_compiler
@pytest.mark.parametrize("name", ["llama", "llama-pairs", "qwen2-sliding"])
@torch.inference_mode()
def test_a_sequence_has_the_same_bits_whatever_is_computed_with_it(name: str) -> None:
    model = build(name)
    running, lengths = native.Native(model.decoder), [1, 7, 150, 16, 73, 64]
    texts = [torch.randint(3, 150, (n,)) for n in lengths]
    alone = []
    for text in texts:
        cache, parts = room(model, 1, 192), []
        for at in range(len(text)):  # token by token
            parts.append(running.hidden(text[at : at + 1], torch.zeros(1, dtype=torch.long), torch.tensor([at]), cache))
        alone.append(torch.cat(parts))
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            rows = torch.cat([torch.full((n,), i) for i, n in enumerate(lengths)])
            positions = torch.cat([torch.arange(n) for n in lengths])
            together = running.hidden(torch.cat(texts), rows, positions, room(model, 6, 192))
            assert torch.equal(together, torch.cat(alone))
    finally:
        torch.set_num_threads(threads)


@needs_compiler
@torch.no_grad()
def test_weights_changed_in_place_are_noticed_even_without_refresh() -> None:
    model = build("llama")
    engine = TorchEngine(model, 2)
    before = sample_all(engine)
    for parameter in model.parameters():
        parameter.mul_(0.9)
    after = sample_all(engine)
    assert after != before
    for prompt, (completion,) in zip(PROMPTS, after, strict=True):
        assert completion.logprobs == pytest.approx(logprobs(model, prompt, completion), abs=1e-4)


@needs_compiler
@torch.no_grad()
def test_refresh_between_two_requests_of_one_loop_is_enough() -> None:
    model = build("llama")
    engine = TorchEngine(model, 2)

    async def run() -> tuple[Completion, Completion]:
        (first,) = await engine.sample(PROMPTS[0], 1, Sampling(1, max_tokens=20))
        for name, parameter in model.named_parameters():
            if "proj" in name:
                parameter.mul_(0.7)
        engine.refresh()
        (second,) = await engine.sample(PROMPTS[0], 1, Sampling(1, max_tokens=20))
        return first, second

    first, second = asyncio.run(run())
    assert first != second
    assert second.logprobs == pytest.approx(logprobs(model, PROMPTS[0], second), abs=1e-4)


@needs_compiler
@torch.no_grad()
def test_a_cache_of_another_precision_is_not_written_to() -> None:
    model = build("llama")
    model.lm.to(torch.bfloat16)
    engine = TorchEngine(model, 2)
    sample_all(engine)
    model.lm.to(torch.float32)
    engine.refresh()
    with pytest.raises(RuntimeError):  # as without kernels: an engine keeps the precision of its first pass
        sample_all(engine)


@needs_compiler
@torch.no_grad()
def test_the_default_precision_of_others_changes_nothing() -> None:
    model = build("llama")
    expected = sample_all(TorchEngine(model, 2))
    torch.set_default_dtype(torch.float64)
    try:
        assert sample_all(TorchEngine(model, 2)) == expected
    finally:
        torch.set_default_dtype(torch.float32)


@needs_compiler
@torch.no_grad()
def test_a_vocabulary_that_grows_is_stopped_at_its_own_tokens() -> None:
    model = build("llama")
    engine = TorchEngine(model, 2)
    sample_all(engine)
    torch.manual_seed(1)
    model.lm.resize_token_embeddings(3000)
    engine.refresh()
    for prompt, (completion,) in zip(PROMPTS, sample_all(engine), strict=True):
        assert len(completion.token_ids) == 24 or completion.token_ids[-1] == 2
        assert completion.logprobs == pytest.approx(logprobs(model, prompt, completion), abs=1e-4)


@needs_compiler
@torch.no_grad()
def test_no_token_asked_for_harms_no_neighbour() -> None:
    engine = TorchEngine(build("llama"), 2)
    prompt = list(range(3, 67))  # as long as a row's first memory

    async def run() -> list[list[Completion]]:
        requests = (engine.sample(prompt, 2, Sampling(7, max_tokens=count)) for count in (0, 5))
        return list(await asyncio.gather(*requests))

    alone = asyncio.run(engine.sample(prompt, 2, Sampling(7, max_tokens=5)))
    _, beside = asyncio.run(run())
    assert [c.token_ids for c in beside] == [c.token_ids for c in alone]


@needs_compiler
@torch.no_grad()
def test_a_model_with_adapters_is_run_by_torch_and_back() -> None:
    model = build("llama")
    engine = TorchEngine(model, 2)
    plain = sample_all(engine, n=2)
    add_lora(model, LoraConfig(rank=4, targets=["q_proj", "down_proj"]))
    assert not native.suits(model.decoder)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.normal_(std=0.5)
    engine.refresh()
    adapted = sample_all(engine, n=2)
    assert adapted != plain
    for prompt, group in zip(PROMPTS, adapted, strict=True):
        for completion in group:
            assert completion.logprobs == pytest.approx(logprobs(model, prompt, completion), abs=1e-4)
    model.lm = model.lm.unload()
    engine.refresh()
    assert [[c.token_ids for c in group] for group in sample_all(engine, n=2)] == [
        [c.token_ids for c in group] for group in plain
    ]


def test_what_the_kernels_cannot_run_is_left_to_torch() -> None:
    for change in ({"head_dim": 8}, {"hidden_act": "gelu"}, {"hidden_size": 36}):
        config = AutoConfig.for_model("llama", **{**SHAPE, **change})
        assert not native.suits(AutoModelForCausalLM.from_config(config).get_decoder())
    assert not native.suits(build("llama").lm.to(torch.bfloat16).get_decoder())
    halved = build("llama")
    halved.decoder.embed_tokens.half()
    assert not native.suits(halved.decoder)
    adapted = build("llama")
    add_lora(adapted, LoraConfig(rank=4, targets=["embed_tokens"]))
    assert not native.suits(adapted.decoder)
    config = AutoConfig.for_model("llama", **{**SHAPE, "hidden_size": 1536, "intermediate_size": 8192})
    assert not native.suits(AutoModelForCausalLM.from_config(config).get_decoder())


# ---- doing without -------------------------------------------------------------------------------------------------


@pytest.fixture
def afresh() -> Iterator[None]:
    """The library is looked for again, and afterwards once more."""
    compiled.library.cache_clear()
    yield
    compiled.library.cache_clear()


@pytest.mark.usefixtures("afresh")
@pytest.mark.parametrize("compiler", ["/nowhere/cc", "false"])
@torch.no_grad()
def test_engines_do_without_a_compiler(
    compiler: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = build("llama")
    with caplog.at_level("INFO"):
        assert not native.suits(model.decoder)
    assert "compile" in caplog.text
    for prompt, (completion,) in zip(PROMPTS, sample_all(TorchEngine(model, 2)), strict=True):
        assert completion.logprobs == pytest.approx(logprobs(model, prompt, completion), abs=1e-4)


@pytest.mark.usefixtures("afresh")
def test_a_user_without_a_home_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(cls: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", classmethod(nowhere))
    assert compiled.library() is None


@needs_compiler
@pytest.mark.usefixtures("afresh")
def test_a_compiler_with_arguments_a_damaged_file_and_a_folder_of_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CC", "cc -g0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "o1kit" / "kernels"
    folder.mkdir(parents=True, mode=0o700)
    (folder / f"kernels-{compiled._fingerprint(['cc', '-g0'])}.so").write_bytes(b"half a fi")
    assert compiled.library() is not None
    assert [file.stat().st_size > 1000 for file in folder.iterdir()] == [True]
    folder.chmod(0o777)
    compiled.library.cache_clear()
    with caplog.at_level("INFO"):
        assert compiled.library() is None
    assert "others can write" in caplog.text


@needs_compiler
@torch.no_grad()
def test_an_engine_that_may_not_compile_draws_the_same() -> None:
    model = build("llama")
    ours, theirs = (sample_all(TorchEngine(model, 2, compiled=c), n=3) for c in (True, False))
    assert [[c.token_ids for c in group] for group in ours] == [[c.token_ids for c in group] for group in theirs]
    assert ours != theirs  # the last bits of log-probabilities tell that it was computed otherwise


@needs_compiler
@torch.no_grad()
def test_sequences_that_are_decoded_unlike_keep_their_own_ways_when_rows_move() -> None:
    model = build("llama")
    ways = [Decoding(greedy=True), Decoding(temperature=0.3), Decoding(), Decoding(temperature=2.0)]

    async def run(engine: TorchEngine) -> list[list[tuple[int, ...]]]:
        lengths = [3, 20, 7, 12, 18, 5, 9, 15]
        found = await asyncio.gather(
            *(engine.sample([5, 6], 2, Sampling(i, ways[i % 4], length)) for i, length in enumerate(lengths))
        )
        return [[c.token_ids for c in group] for group in found]

    alone = asyncio.run(run(TorchEngine(model, 2, max_batch=1, compiled=False)))
    assert asyncio.run(run(TorchEngine(model, 2, max_batch=5))) == alone
    assert len({group[0][:3] for group in alone}) > 1


LOAD = "from o1kit.engines.torch.compiled import library; print(library() is not None)"


@needs_compiler
def test_processes_that_compile_at_the_same_time_share_one_file(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", LOAD]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [p.communicate(timeout=120)[0].strip() for p in both] == ["True", "True"]
    (only,) = (tmp_path / "o1kit" / "kernels").iterdir()
    assert only.name.startswith("kernels-")
    written = only.stat().st_mtime_ns
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "True\n"
    assert only.stat().st_mtime_ns == written
