"""What servers send, as values: one `Chunk` for each event of a stream. Pure; nothing in a reply is trusted.

Formats of log-probabilities that are understood:
    legacy      {"tokens": [...], "token_logprobs": [...], "top_logprobs": [{token: logprob}]}     vLLM, SGLang
    chat-like   {"content": [{"id", "token", "logprob", "top_logprobs": [{"id", "logprob"}]}]}     llama.cpp
and of token ids: vLLM's (and SGLang's) `token_ids`, llama.cpp's `id`, and tokens written as `token_id:123` (vLLM).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from o1kit.functional.secrets import hide

PREFIX = "token_id:"


class Malformed(ValueError):
    """A reply does not have the form it should have."""


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token as a server reported it; None is what it did not tell."""

    id: int | None
    logprob: float | None
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event: new text and tokens, and why the sample ended if this is its end."""

    text: str
    tokens: tuple[Token, ...]
    finish: str | None
    prompt: int | None = None
    generated: int | None = None
    cached: int = 0
    drawn: int | None = None
    """Tokens drawn so far, where the server counts them along."""


def chunk_of(event: Mapping[str, Any]) -> Chunk:
    """An event of a streamed completion.

    Raises:
        Malformed: a field has the wrong type.
    """
    choices = _list(event.get("choices", []), "choices")
    choice = _object(choices[0], "choices[0]") if choices else {}
    text, finish = choice.get("text"), choice.get("finish_reason")
    counts = _counts(event)
    return Chunk(
        text=_string(text, "text") if text is not None else "",
        tokens=_tokens(choice),
        finish=_string(finish, "finish_reason") if finish is not None else None,
        **counts,
    )


def model_names(reply: Any) -> dict[str, int | None]:
    """The models a server lists (also their aliases) with the length of their context, where it says so."""
    found: dict[str, int | None] = {}
    for item in _list(_object(reply, "reply").get("data"), "data"):
        entry = _object(item, "data[]")
        meta = entry.get("meta") or {}
        context = entry.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
        length = _count(context, "context length") if context is not None else None
        found[_string(entry.get("id"), "id")] = length
    return found


def _counts(event: Mapping[str, Any]) -> dict[str, Any]:
    """From `usage` (OpenAI), or while tokens still come from `timings` (llama.cpp)."""
    usage, timings = event.get("usage"), event.get("timings")
    counts: dict[str, Any] = {}
    if timings is not None:
        timings = _object(timings, "timings")
        counts["drawn"] = _count(timings.get("predicted_n", 0), "predicted_n")
        counts["cached"] = _count(timings.get("cache_n", 0), "cache_n")
    if usage is not None:
        usage = _object(usage, "usage")
        details = _object(usage.get("prompt_tokens_details") or {}, "prompt_tokens_details")
        counts["prompt"] = _count(usage.get("prompt_tokens", 0), "prompt_tokens")
        counts["generated"] = _count(usage.get("completion_tokens") or 0, "completion_tokens")
        counts["cached"] = _count(details.get("cached_tokens") or counts.get("cached", 0), "cached_tokens")
    return counts


def _tokens(choice: Mapping[str, Any]) -> tuple[Token, ...]:
    logprobs = choice.get("logprobs")
    ids = [_count(i, "token_ids[]") for i in _list(choice.get("token_ids") or [], "token_ids")]
    if logprobs is None:
        return tuple(Token(i, None) for i in ids)
    logprobs = _object(logprobs, "logprobs")
    if "content" in logprobs:
        tokens = [_chat_token(_object(e, "content[]")) for e in _list(logprobs["content"] or [], "content")]
    else:
        tokens = _legacy_tokens(logprobs)
    if ids and len(ids) == len(tokens):
        return tuple(Token(i, t.logprob, t.alternatives) for i, t in zip(ids, tokens, strict=True))
    if ids and tokens:
        raise Malformed(f"{len(ids)} token ids but {len(tokens)} log-probabilities")
    return tuple(tokens) or tuple(Token(i, None) for i in ids)


def _chat_token(entry: Mapping[str, Any]) -> Token:
    others = [_object(e, "top_logprobs[]") for e in _list(entry.get("top_logprobs") or [], "top_logprobs")]
    known = [(i, _logprob(e.get("logprob"))) for e in others if (i := _id(e)) is not None]
    return Token(_id(entry), _logprob(entry.get("logprob")), _ranked(known))


def _id(entry: Mapping[str, Any]) -> int | None:
    if entry.get("id") is not None:
        return _count(entry["id"], "id")
    return _named_id(entry.get("token"))


def _legacy_tokens(logprobs: Mapping[str, Any]) -> list[Token]:
    names = _list(logprobs.get("tokens") or [], "tokens")
    values = _list(logprobs.get("token_logprobs") or [], "token_logprobs")
    tops: Sequence[Any] = _list(logprobs.get("top_logprobs") or [None] * len(names), "top_logprobs")
    if not len(names) == len(values) == len(tops):
        raise Malformed(f"{len(names)} tokens, {len(values)} log-probabilities, {len(tops)} lists of alternatives")
    found = []
    for name, value, top in zip(names, values, tops, strict=True):
        others = _object(top or {}, "top_logprobs[]").items()
        known = [(i, _logprob(v)) for n, v in others if (i := _named_id(n)) is not None]
        found.append(Token(_named_id(name), _logprob(value), _ranked(known)))
    return found


def _named_id(name: Any) -> int | None:
    """The number in `token_id:123`."""
    if isinstance(name, str) and name.startswith(PREFIX) and name[len(PREFIX) :].isdecimal():
        return _count(int(name[len(PREFIX) :]), "token id")
    return None


def _ranked(pairs: Sequence[tuple[int, float | None]]) -> tuple[tuple[int, float], ...]:
    known = [(i, value) for i, value in pairs if value is not None]
    return tuple(sorted(known, key=lambda pair: -pair[1]))


def _logprob(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value > 1e-3:
        raise Malformed(f"{hide(str(value))[:40]!r} is no log-probability")
    return min(float(value), 0.0)


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise Malformed(f"{name} is {hide(str(value))[:40]!r}, not a number of tokens")
    return value


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise Malformed(f"{name} is no text")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise Malformed(f"{name} is no list")
    return value


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{name} is no object")
    return value
