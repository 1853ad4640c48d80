"""Request bodies in the dialects that servers accept; which one a server takes is found by trying.

    extended      everything, as vLLM, SGLang and llama.cpp take it (each ignores the names only another one knows)
    transformers  `transformers serve`: other fields are an error, but its own `generation_config` says it all
    openai        the fields of OpenAI's API alone: neither top-k nor min-p

What is neutral is always said: left out, a server would use defaults of its own (llama.cpp's are top-k 40, top-p 0.95,
min-p 0.05; vLLM takes those of the model's folder).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from o1kit.decoding import Decoding

Dialect = Literal["extended", "transformers", "openai"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
SEED_BITS = 31
"""Bits of a seed that every server takes."""


def body(
    dialect: Dialect,
    model: str,
    prompt: Sequence[int] | str,
    decoding: Decoding,
    *,
    max_tokens: int,
    seed: int,
    eos_id: int,
    logprobs: int | None = None,
) -> dict[str, Any]:
    """A streamed completion request; `logprobs` is the number of alternatives, None asks for no log-probabilities."""
    temperature = 0.0 if decoding.greedy else decoding.temperature
    fields: dict[str, Any] = {
        "model": model,
        "prompt": prompt if isinstance(prompt, str) else list(prompt),
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": 1.0 if decoding.greedy else decoding.top_p,
        "seed": seed & ((1 << SEED_BITS) - 1),
        "stream": True,
    }
    if dialect == "transformers":
        config = _generation_config(decoding, max_tokens, eos_id)
        return {**fields, "generation_config": json.dumps(config)}
    if logprobs is not None:
        fields["logprobs"] = logprobs
    fields["stream_options"] = {"include_usage": True}
    return fields | (_extended(decoding) if dialect == "extended" else {})


def forced(fields: Mapping[str, Any], token_id: int) -> dict[str, Any]:
    """The same request for one token that is given: what comes back is its log-probability, from the raw logits."""
    return {**fields, "max_tokens": 1, "temperature": 0.0, "logit_bias": {str(token_id): 100}}


def _extended(decoding: Decoding) -> dict[str, Any]:
    drawn = not decoding.greedy
    return {
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},  # counts with every event: vLLM
        "top_k": decoding.top_k if drawn and decoding.top_k else -1,
        "min_p": decoding.min_p if drawn else 0.0,
        "repetition_penalty": 1.0,
        "return_token_ids": True,  # vLLM, SGLang: ids of the tokens
        "return_tokens_as_token_ids": True,  # vLLM: ids of the alternatives
        "skip_special_tokens": False,  # vLLM, SGLang
        "repeat_penalty": 1.0,  # llama.cpp, as all that follows
        "samplers": ["temperature", "top_k", "top_p", "min_p"],  # by default the temperature comes last there
        "timings_per_token": True,  # the same there
    }


def _generation_config(decoding: Decoding, max_tokens: int, eos_id: int) -> dict[str, Any]:
    common = {"max_new_tokens": max_tokens, "eos_token_id": eos_id}
    if decoding.greedy:
        return {"do_sample": False, **common}
    return {
        "do_sample": True,
        "temperature": decoding.temperature,
        "top_k": decoding.top_k,
        "top_p": decoding.top_p,
        **({"min_p": decoding.min_p} if decoding.min_p > 0 else {}),
        **common,
    }
