"""The rollout engine on a GPU: against transformers' `generate`, and against what the card's memory allows.

`python -m benchmarks.engine_gpu` builds a model of about 1B parameters with random weights in bfloat16 (the shape of
Llama 3.2 1B) and samples 256 sequences at once. A decoding step has to read all weights and the keys and values of
every sequence; how fast the card can read is measured, and the time that takes is the limit. `--tiny --device cpu`
runs the same on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from o1kit.engines.torch import TorchEngine
from o1kit.functional.noise import derive
from o1kit.models.language_model import LanguageModel
from o1kit.protocols import Sampling

LARGE = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}
EOS = 0


def seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The shortest of several runs, after one to warm up."""
    work()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - started)
    return min(found)


def bandwidth(device: torch.device) -> float:
    """Bytes a second that can be read: a sum over a tensor far larger than any cache."""
    size = 2**30 if device.type == "cuda" else 2**26
    numbers = torch.ones(size, dtype=torch.bfloat16, device=device)
    return numbers.numel() * numbers.element_size() / seconds(lambda: numbers.max().item(), device, 5)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description="The rollout engine on a GPU.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--prompt", type=int, default=128, help="tokens of each prompt")
    parser.add_argument("--tokens", type=int, default=128, help="tokens to generate")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="a model of a few thousand parameters, to try it out")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device is there. Try: python -m benchmarks.engine_gpu --tiny --device cpu --batch 8")
    torch.manual_seed(0)
    shape = TINY if options.tiny else LARGE
    context = options.prompt + options.tokens
    config = LlamaConfig(**shape, max_position_embeddings=context, tie_word_embeddings=True, eos_token_id=EOS)
    lm = LlamaForCausalLM(config).to(device, torch.bfloat16).eval()
    model = LanguageModel(lm)
    weights = sum(p.numel() * p.element_size() for p in lm.parameters())
    prompts = torch.randint(1, shape["vocab_size"], (options.batch, options.prompt), device=device)
    head = shape["hidden_size"] // shape["num_attention_heads"]
    position = 2 * 2 * shape["num_hidden_layers"] * shape["num_key_value_heads"] * head
    engine = TorchEngine(model, EOS, options.batch, memory_mb=4 * options.batch * context * position / 2**20)
    total = options.batch * options.tokens

    async def sample() -> int:
        engine.refresh()
        requests = [
            engine.sample(prompt, 1, Sampling(derive(1, i), max_tokens=options.tokens))
            for i, prompt in enumerate(prompts.tolist())
        ]
        return sum(len(c.token_ids) for (c,) in await asyncio.gather(*requests))

    drawn = asyncio.run(sample())
    ours = drawn / seconds(lambda: asyncio.run(sample()), device, options.repeats)
    how = {"do_sample": True, "top_k": 0, "pad_token_id": EOS, "max_new_tokens": options.tokens}
    mask = torch.ones_like(prompts)

    def generate() -> object:
        return lm.generate(prompts, attention_mask=mask, min_new_tokens=options.tokens, **how)

    theirs = total / seconds(generate, device, options.repeats)
    read = weights + options.batch * position * (options.prompt + options.tokens / 2)
    limit = options.batch / (read / bandwidth(device))
    print(f"{weights / 2e6:,.0f}M parameters in bfloat16 on {options.device}, batch {options.batch}")
    print(f"o1kit {ours:,.0f} tokens/s, generate {theirs:,.0f} tokens/s: {ours / theirs:.1f}x (target 3x)")
    print(f"reading weights, keys and values allows {limit:,.0f} tokens/s: {ours / limit:.0%} of it (target 50 %)")
    peak = engine.peak_bytes / 2**20
    print(f"keys and values: {peak:,.0f} of {engine.memory_mb:,.0f} MiB")
    if peak > engine.memory_mb:
        raise SystemExit("more memory than the bound")


if __name__ == "__main__":
    main()
