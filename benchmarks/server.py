"""A completions server against this process: `python -m benchmarks.server http://127.0.0.1:8000/v1 path/to/model`.

Prints what the server was seen to do, whether its greedy tokens are those of the torch engine, and how far its
log-probabilities are from a forward pass here. The folder is that of the model it serves.
"""

from __future__ import annotations

import argparse
import asyncio

import torch

from o1kit.decoding import Decoding
from o1kit.engines.http import HttpEngine, Vocabulary
from o1kit.engines.policy import PromptTemplate
from o1kit.engines.torch import TorchEngine
from o1kit.functional.logprobs import token_logprobs
from o1kit.functional.noise import derive
from o1kit.models.config import HttpEngineConfig
from o1kit.models.load import load_directory
from o1kit.protocols import Engine, Sampling
from o1kit.types import Completion, Problem

QUESTIONS = ("What is 12 + 30?", "Name three colours.", "How many letters r are in strawberry?")


async def ask(engine: Engine, prompts: list[list[int]], decoding: Decoding, tokens: int) -> list[Completion]:
    """One completion of each prompt."""
    how = [Sampling(derive(1, i), decoding, tokens) for i in range(len(prompts))]
    groups = await asyncio.gather(*(engine.sample(p, 1, s) for p, s in zip(prompts, how, strict=True)))
    return [completion for (completion,) in groups]


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description="What a completions server does, and whether it does it right.")
    parser.add_argument("endpoint")
    parser.add_argument("model", help="folder of the model that is served")
    parser.add_argument("--name", help="what the server calls it")
    parser.add_argument("--tokens", type=int, default=24)
    options = parser.parse_args()
    model, tokenizer = load_directory(options.model)
    template = PromptTemplate(tokenizer)
    words = Vocabulary(template.encode, template.written, template.eos_id, frozenset(tokenizer.all_special_ids))
    config = HttpEngineConfig(kind="http", endpoints=[options.endpoint], model=options.name)
    server, local = HttpEngine(config, words, model.context_length), TorchEngine(model, template.eos_id)
    prompts = [template.prompt(Problem(str(i), "ask", text)) for i, text in enumerate(QUESTIONS)]
    greedy, drawn = Decoding(greedy=True), Decoding(temperature=0.8, top_p=0.95)

    async def both() -> tuple[list[Completion], list[Completion], list[Completion]]:
        for name, value in (await server.probe()).summary().items():
            print(f"{name:<16} {value}")
        return (
            await ask(server, prompts, greedy, options.tokens),
            await ask(local, prompts, greedy, options.tokens),
            await ask(server, prompts, drawn, options.tokens),
        )

    theirs, ours, samples = asyncio.run(both())
    same = sum(a.token_ids == b.token_ids for a, b in zip(theirs, ours, strict=True))
    print(f"\ngreedy completions equal to the torch engine's: {same} of {len(prompts)}")
    gaps = []
    for prompt, completion in zip(prompts, samples, strict=True):
        ids = torch.tensor([[*prompt, *completion.token_ids]])
        expected = token_logprobs(model(ids[:, :-1]).logits, ids[:, 1:])[0, len(prompt) - 1 :]
        if completion.logprobs:
            gaps += (torch.tensor(completion.logprobs) - expected).abs().tolist()
    if gaps:
        print(f"log-probabilities of {len(gaps)} sampled tokens: at most {max(gaps):.1e} nats from a forward pass here")


if __name__ == "__main__":
    main()
