"""The formats of replies: what servers document or were seen to send, and what nobody may send."""

from __future__ import annotations

from typing import Any

import pytest

from o1kit.decoding import Decoding
from o1kit.engines.http.client import Refused
from o1kit.engines.http.dialect import body, forced
from o1kit.engines.http.draft import Draft, Vocabulary
from o1kit.engines.http.reply import Malformed, Token, chunk_of, model_names
from o1kit.models.tokenizer import build_char_tokenizer
from o1kit.protocols import Sampling
from o1kit.types import Usage

TOKENIZER = build_char_tokenizer([" ok\n"])
A, B, OK, EOS = (TOKENIZER.convert_tokens_to_ids(t) for t in ("a", "b", " ok\n", "<eos>"))
WORDS = Vocabulary(
    lambda text: list(TOKENIZER(text, add_special_tokens=False).input_ids),
    lambda ids: str(TOKENIZER.decode(list(ids))),
    EOS,
    frozenset({EOS, 0}),
)


def event(text: str = "", finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"text": text, "index": 0, "finish_reason": finish, **fields}]}


def legacy(*names: str, top: Any = None) -> dict[str, Any]:
    return {"tokens": list(names), "token_logprobs": [-0.5] * len(names), "top_logprobs": top, "text_offset": []}


def draft_of(*events: dict[str, Any], **sampling: Any) -> Draft:
    draft = Draft(WORDS, Sampling(0, **sampling))
    for one in events:
        if draft.feed(chunk_of(one)):
            break
    return draft


def test_vllm() -> None:
    """Ids in `token_ids`, alternatives named by their ids (`return_tokens_as_token_ids`)."""
    top = [{f"token_id:{A}": -0.5, f"token_id:{B}": -1.5}]
    chunk = chunk_of(event("a", logprobs=legacy(f"token_id:{A}", top=top), token_ids=[A], stop_reason=None))
    assert chunk.tokens == (Token(A, -0.5, ((A, -0.5), (B, -1.5))),)
    without = chunk_of(event("a", logprobs=legacy(f"token_id:{A}")))
    assert without.tokens == (Token(A, -0.5),)
    usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": None}}
    draft = draft_of(event("a", logprobs=legacy("a"), token_ids=[A]), event("", "length"), usage)
    assert (draft.ended, draft.usage(0)) == ("length", Usage(9, 0, 4))


def test_sglang_names_tokens_only() -> None:
    draft = draft_of(event("a", logprobs=legacy("a")), event("b", "stop", logprobs=legacy("b")))
    assert [t.id for t in draft.tokens] == [A, B, EOS]
    assert draft.reports_logprobs and not draft.reports_ids


def test_llama_cpp_withholds_parts_of_characters() -> None:
    def content(token: int, drawn: int, text: str) -> dict[str, Any]:
        entry = {"id": token, "token": text, "bytes": [], "logprob": -1.0, "top_logprobs": []}
        return event(text, logprobs={"content": [entry]}) | {"timings": {"predicted_n": drawn, "cache_n": 3}}

    draft = draft_of(content(A, 1, "a"), content(B, 3, "ab"), event("", "length"))
    assert [(t.id, t.logprob) for t in draft.tokens] == [(A, -1.0), (A, None), (B, -1.0)]
    assert draft.usage(7) == Usage(4, 3, 3)
    with pytest.raises(Malformed, match="cannot tell which"):
        draft_of(content(A, 1, "a"), content(A, 3, "ab"))


@pytest.mark.parametrize("reports", [True, False])
def test_a_sample_is_cut_after_its_stop(reports: bool) -> None:
    """Whether the server names its tokens or sends text only."""
    parts = [(A, "a"), (OK, " ok\n"), (B, "b")]
    events = [event(text, **({"token_ids": [i]} if reports else {})) for i, text in parts]
    for how in ({"stop_ids": frozenset({OK})}, {"stop_strings": ("ok",)}):
        draft = draft_of(*events, event("", "stop"), **how)
        assert [t.id for t in draft.tokens] == [A, OK]
        assert draft.ended == "step"
    assert [t.id for t in draft_of(*events, event("", "stop")).tokens] == [A, OK, B, EOS]
    whole = draft_of(event("".join(t for _, t in parts), "stop"), stop_ids=frozenset({OK}))
    assert [t.id for t in whole.tokens] == [A, OK] and whole.ended == "step"


def test_every_end_of_text_is_the_template_s() -> None:
    told = draft_of(event("a", token_ids=[A]), event("", "stop", token_ids=[0]))
    untold = draft_of(event("a", token_ids=[A]), event("", "stop"))
    own = draft_of(event("a", token_ids=[A, EOS]), event("", "stop"))
    for draft in (told, untold, own):
        assert ([t.id for t in draft.tokens], draft.ended) == ([A, EOS], "answer")


@pytest.mark.parametrize(
    "wrong",
    [
        {"choices": {}},
        {"choices": ["a"]},
        event(text=5),  # type: ignore[arg-type]
        event(token_ids=["a"]),
        event(token_ids=[-1]),
        event(token_ids=[1 << 40]),
        event(token_ids=[True]),
        event(logprobs=[]),
        event(logprobs={"tokens": ["a"], "token_logprobs": []}),
        event(logprobs={"tokens": ["a"], "token_logprobs": [float("nan")]}),
        event(logprobs={"tokens": ["a"], "token_logprobs": [3.0]}),
        event(logprobs={"content": [{"id": 1, "logprob": "high"}]}),
        event(token_ids=[A, B], logprobs=legacy("a")),
        event() | {"usage": {"prompt_tokens": "many"}},
        event() | {"timings": 5},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        chunk_of(wrong)


def test_an_unknown_end_is_refused() -> None:
    with pytest.raises(Malformed, match="content_filter"):
        draft_of(event("a", "content_filter"))


def test_models_and_their_context() -> None:
    assert model_names({"data": [{"id": "a", "max_model_len": 5}, {"id": "b", "meta": {"n_ctx": 7}}, {"id": "c"}]}) == {
        "a": 5,
        "b": 7,
        "c": None,
    }
    with pytest.raises(Malformed):
        model_names([])


def test_a_too_long_prompt_is_recognised() -> None:
    llama = Refused(400, "request (3000 tokens) exceeds the available context size", "exceed_context_size_error")
    vllm = Refused(400, "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens")
    assert llama.too_long and vllm.too_long
    assert not Refused(400, "unknown field").too_long


def test_requests_say_what_is_neutral() -> None:
    shape: dict[str, Any] = {"max_tokens": 3, "seed": (1 << 62) + 5, "eos_id": 1, "logprobs": 2}
    plain = body("openai", "m", "p", Decoding(), **shape)
    assert set(plain) == {
        *("model", "prompt", "max_tokens", "temperature", "top_p", "seed", "stream", "logprobs", "stream_options")
    }
    assert plain["seed"] == 5
    full = body("extended", "m", [1, 2], Decoding(0.5, 3, 0.9, 0.1), **shape)
    assert (full["temperature"], full["top_k"], full["top_p"], full["min_p"]) == (0.5, 3, 0.9, 0.1)
    greedy = body("extended", "m", [1], Decoding(0.5, 3, 0.9, 0.1, greedy=True), **shape)
    assert (greedy["temperature"], greedy["top_k"], greedy["top_p"], greedy["min_p"]) == (0.0, -1, 1.0, 0.0)
    assert forced(full, 7) == {**full, "max_tokens": 1, "temperature": 0.0, "logit_bias": {"7": 100}}
