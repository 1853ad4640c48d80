"""What a server can do, found by trying: `probe` asks a few dozen tokens of it and believes nothing else."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from o1kit.decoding import Decoding
from o1kit.engines.http.client import Refused
from o1kit.engines.http.dialect import DIALECTS, Dialect, body, forced
from o1kit.engines.http.draft import Draft, Vocabulary

GREEDY = Decoding(greedy=True)
TEXT = "One, two, three, four. What is 12 + 30? The answer is"
NUM_TOKENS = 6
"""Tokens of one sample."""
SEEDS = (11, 12, 13)
HOT = 2.0
"""The highest temperature that OpenAI's API and vLLM take."""
TOLERANCE = 0.15
"""Nats by which a log-probability may differ between two requests: kernels are quantised and batched."""
MOST_ALTERNATIVES = 20
"""Alternatives that are asked for at most; vLLM gives no more by default."""
LACKS = {
    "logprobs": "returns no log-probabilities (it ignores `logprobs`)",
    "token_ids": "does not say which tokens it drew (neither `token_ids` nor ids in `logprobs`)",
    "token_prompts": "takes no token ids as a prompt",
    "temperature": "always draws the most probable token, whatever the temperature",
    "top_k": "ignores `top_k`",
    "top_p": "ignores `top_p`",
    "min_p": "ignores `min_p`",
    "untempered": "reports log-probabilities after temperature or truncation, not those of the model",
    "end_logprob": "leaves out the log-probability of the token that ends a text",
    "alternatives": "reports too few alternatives",
}
Ask = Callable[[Mapping[str, Any]], Awaitable[Draft]]
"""Sends a request and returns the whole sample."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server, or every server of a pool, was seen to do."""

    model: str
    dialect: Dialect
    context_length: int | None
    """Longest sequence; None where the server does not say."""
    token_prompts: bool
    logprobs: bool
    token_ids: bool
    alternatives: int
    echo: bool
    """It can return the log-probabilities of the prompt."""
    temperature: bool
    top_k: bool
    top_p: bool
    min_p: bool
    seed: bool
    """The same seed gives the same sample, also while other requests are under way."""
    lone_seed: bool
    """The same, one request at a time."""
    untempered: bool
    forced: bool
    """It tells the log-probability of any token that is named in `logit_bias`."""
    end_logprob: bool

    def lacks(self, needs: Sequence[str]) -> list[str]:
        """What of the needs is missing, in words."""
        return [LACKS[need] for need in dict.fromkeys(needs) if not getattr(self, need)]

    def summary(self) -> dict[str, Any]:
        """All fields, for a file."""
        return asdict(self)


def common(several: Sequence[Capabilities]) -> Capabilities:
    """What all of them can do."""
    found: dict[str, Any] = {}
    for name in (field.name for field in fields(Capabilities)):
        values = [getattr(one, name) for one in several]
        known = [value for value in values if value is not None]
        found[name] = values[0] if isinstance(values[0], str) else min(known) if known else None
    return Capabilities(**found)


async def probe(ask: Ask, model: str, context_length: int | None, words: Vocabulary) -> Capabilities:
    """Tries everything that an engine may want.

    Raises:
        Refused: the server takes no request at all, or has another tokenizer.
    """
    trial = await _first_words(ask, model, words)
    told, drawn = await trial.log_probabilities(), await trial.drawing()
    return Capabilities(
        model=model,
        dialect=trial.dialect,
        context_length=context_length,
        token_prompts=not isinstance(trial.prompt, str),
        token_ids=trial.has_ids,
        **told,
        **drawn,
    )


async def _first_words(ask: Ask, model: str, words: Vocabulary) -> _Trial:
    """A greedy sample in the richest dialect that the server takes."""
    ids, refused = words.encode(TEXT), Refused(0, "")
    for dialect in DIALECTS:
        for prompt in (ids, TEXT):
            trial = _Trial(ask, dialect, model, prompt, words)
            try:
                trial.greedy = await ask(trial.request(GREEDY))
            except Refused as error:
                if error.status not in (400, 404, 422):
                    raise
                refused = error
                continue
            trial.check_tokenizer(len(ids))
            return trial
    raise refused


@dataclass
class _Trial:
    """A server under test, in a dialect it understands."""

    ask: Ask
    dialect: Dialect
    model: str
    prompt: Sequence[int] | str
    words: Vocabulary
    greedy: Draft = None  # type: ignore[assignment]

    def request(self, decoding: Decoding, seed: int = SEEDS[0], logprobs: int = 1, tokens: int = NUM_TOKENS) -> Any:
        """A short sample that follows the test prompt."""
        eos = self.words.eos_id
        shape: dict[str, Any] = {"max_tokens": tokens, "seed": seed, "eos_id": eos, "logprobs": logprobs}
        return body(self.dialect, self.model, self.prompt, decoding, **shape)

    @property
    def has_ids(self) -> bool:
        """True when it says which tokens it drew."""
        return self.greedy.reports_ids

    def check_tokenizer(self, expected: int) -> None:
        """Compares the tokenizer here with the server's: a wrong one would give samples of nonsense."""
        ids = [token.id for token in self.greedy.tokens if token.id is not None]
        if self.has_ids and self.greedy.text.strip() not in self.words.decode(ids):
            raise Refused(
                0,
                f"calls {self.greedy.text!r} what is {self.words.decode(ids)!r} here: its model has another tokenizer "
                "than the policy. Serve the policy's own model, or correct model.source.",
            )
        usage = self.greedy.usage(expected)
        read = usage.prompt + usage.cached
        if read != expected:
            raise Refused(
                0,
                f"reads a prompt of {expected} tokens as {read}: its model has another tokenizer "
                "than the policy, or it puts tokens of its own before the prompt. Serve the policy's own model.",
            )

    # ---- log-probabilities ---------------------------------------------------------------------------------------

    async def log_probabilities(self) -> dict[str, Any]:
        """Whether and of what distribution they are."""
        found: dict[str, Any] = {
            "logprobs": self.greedy.reports_logprobs,
            "alternatives": 0,
            "echo": False,
            "untempered": False,
            "forced": False,
            "end_logprob": False,
        }
        if not found["logprobs"] or not self.has_ids:
            return found
        found["alternatives"] = await self._alternatives()
        found["echo"] = await self._echo()
        found["untempered"] = await self._untempered()
        found["forced"] = await self._forced()
        end = await self._try(forced(self.request(GREEDY), self.words.eos_id))
        found["end_logprob"] = end is not None and len(end.tokens) == 1 and end.tokens[0].logprob is not None
        return found

    async def _alternatives(self) -> int:
        for number in (MOST_ALTERNATIVES, 5):
            draft = await self._try(self.request(GREEDY, logprobs=number, tokens=1))
            if draft is not None and draft.tokens:
                return min(len(draft.tokens[0].alternatives), number)
        return 0

    async def _echo(self) -> bool:
        fields = {**self.request(GREEDY, tokens=1), "echo": True}
        fields.pop("return_token_ids", None)  # vLLM gives those of the answer only, and log-probabilities of all
        draft = await self._try(fields)
        return draft is not None and len(draft.tokens) > 1

    async def _untempered(self) -> bool:
        """The most probable tokens have the same log-probabilities at every temperature."""
        for temperature in (0.5, 2.0):
            draft = await self._try(self.request(Decoding(temperature, top_k=1)))
            if draft is None:
                return False
            for one, other in zip(self.greedy.tokens, draft.tokens, strict=False):
                if one.id != other.id:  # `top_k` is ignored, or a tie: what follows has another past
                    break
                if not _close(one.logprob, other.logprob):
                    return False
        return True

    async def _forced(self) -> bool:
        """A token that is named comes back with its log-probability: known for the second most probable one."""
        first = await self._try(self.request(GREEDY, logprobs=2, tokens=1))
        if first is None or not first.tokens or len(first.tokens[0].alternatives) < 2:
            return False
        token, logprob = first.tokens[0].alternatives[1]
        draft = await self._try(forced(self.request(GREEDY), token))
        got = draft.tokens[:1] if draft is not None else []
        return bool(got) and got[0].id == token and _close(got[0].logprob, logprob)

    # ---- drawing -------------------------------------------------------------------------------------------------

    async def drawing(self) -> dict[str, bool]:
        """Whether temperature, truncation and seeds do what they say."""
        samples = [await self._text(Decoding(HOT), seed) for seed in SEEDS]
        again = await asyncio.gather(*(self._text(Decoding(HOT), seed) for seed in (*SEEDS, *SEEDS)))
        alone = samples == [await self._text(Decoding(HOT), seed) for seed in SEEDS]
        extended = self.dialect != "openai"
        return {
            "temperature": any(text not in (None, self.greedy.text) for text in samples),
            "top_k": extended and await self._collapses(Decoding(HOT, top_k=1)),
            "top_p": await self._collapses(Decoding(HOT, top_p=1e-4)),
            "min_p": extended and await self._collapses(Decoding(HOT, min_p=1.0)),
            "seed": None not in samples and again == samples + samples,
            "lone_seed": None not in samples and alone,
        }

    async def _collapses(self, decoding: Decoding) -> bool:
        """True when a truncation to one token gives the most probable ones, however hot."""
        texts = [await self._text(decoding, seed) for seed in SEEDS[:2]]
        return all(text == self.greedy.text for text in texts)

    async def _text(self, decoding: Decoding, seed: int) -> str | None:
        draft = await self._try(self.request(decoding, seed))
        return draft.text if draft is not None else None

    async def _try(self, request: Mapping[str, Any]) -> Draft | None:
        """The sample, or None if the server will not."""
        try:
            return await self.ask(request)
        except Refused:
            return None


def _close(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and math.isclose(a, b, abs_tol=TOLERANCE, rel_tol=0.02)
