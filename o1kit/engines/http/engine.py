"""`HttpEngine`: samples with the models of OpenAI-compatible completions servers.

A sample is one streamed request with a seed made of its key and index, so it does not depend on what else is asked
(as far as the server's kernels do not: where they add up in another order, a tie may fall the other way).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from o1kit.decoding import Decoding
from o1kit.engines.http.client import Client, Refused, Unavailable
from o1kit.engines.http.dialect import body, forced
from o1kit.engines.http.draft import Draft, Vocabulary
from o1kit.engines.http.endpoints import Endpoint, Pool
from o1kit.engines.http.probe import GREEDY, Capabilities, common, probe
from o1kit.engines.http.reply import Malformed, Token, chunk_of, model_names
from o1kit.errors import DataError, EnvironmentFailure
from o1kit.functional.keys import derive
from o1kit.functional.secrets import remember
from o1kit.ledger import Ledger
from o1kit.models.config import ServersConfig
from o1kit.protocols import Sampling
from o1kit.types import Account, Completion, Finish, Usage

NOBODY = "o1kit-no-such-model"
"""A model that no server has: one that takes this name does not look at names."""
SEARCHED = 2000
"""Alternatives among which a token is looked up whose log-probability was left out."""
REMEDY = "Use vLLM, SGLang or llama.cpp's server, or `engine: {kind: torch}`."
LEARNING = ("logprobs", "token_ids", "token_prompts", "untempered", "end_logprob", "temperature")
"""What a server needs for a policy to learn from its samples."""


class HttpEngine:
    """An engine over the servers of a recipe. `context_length` is the model's own; a server's may be shorter."""

    def __init__(self, config: ServersConfig, words: Vocabulary, context_length: int) -> None:
        self.config, self.words, self.context_length = config, words, context_length
        self.ledger = Ledger()
        self.able: Capabilities | None = None
        self._pool = Pool(config, _key(config), self._check)

    @property
    def usage(self) -> Usage:
        """All tokens computed so far."""
        return self.ledger.total

    def refresh(self) -> None:
        """Does nothing: servers keep the weights they were started with."""

    async def probe(self) -> Capabilities:
        """What all servers that answer can do; asked once.

        Raises:
            EnvironmentFailure: none answers, or one does not serve the model.
        """
        if self.able is None:
            self.able = common(await self._pool.start())
            self.context_length = min(self.context_length, self.able.context_length or self.context_length)
            if not self.able.seed and self.able.lone_seed:
                self._pool.limit(1)  # `transformers serve` has one random stream for all requests
        return self.able

    async def require(self, needs: Sequence[str], purpose: str) -> None:
        """Makes sure that the servers can do what is needed.

        Raises:
            EnvironmentFailure: with everything they lack.
        """
        lacks = (await self.probe()).lacks(needs)
        if lacks:
            urls = ", ".join(self.config.endpoints)
            text = "\n".join(f"  - it {lack}" for lack in lacks)
            raise EnvironmentFailure(f"the server at {urls} cannot be used for {purpose}:\n{text}\n{REMEDY}")

    async def sample(
        self, prompt: Sequence[int], n: int, sampling: Sampling, account: Account = Account()
    ) -> list[Completion]:
        """`n` continuations of `prompt`, each a function of (server, prompt, sampling, its index) only.

        Log-probabilities are empty where the server does not tell them.

        Raises:
            DataError: the prompt is empty or leaves no room in the model's context.
            EnvironmentFailure: no server does the work, or they cannot decode as asked.
        """
        able = await self.probe()
        await self.require(needs(sampling.decoding), "this way of decoding")
        if sampling.decoding.alternatives > able.alternatives:
            raise EnvironmentFailure(
                f"{sampling.decoding.alternatives} alternatives are wanted at each position, and the server reports "
                f"{able.alternatives} at most. {REMEDY}"
            )
        self._fits(len(prompt))
        tasks = [asyncio.ensure_future(self._one(prompt, sampling.first + i, sampling, account)) for i in range(n)]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def score(
        self, tokens: Sequence[int], positions: Sequence[int], account: Account = Account(phase="score")
    ) -> list[float]:
        """Never returns: a completions server has no scalar head.

        Raises:
            EnvironmentFailure: always.
        """
        raise EnvironmentFailure("a completions server has no scalar head to read. Use `engine: {kind: torch}`.")

    def _fits(self, length: int) -> None:
        if not length:
            raise DataError("an empty prompt cannot be continued.")
        if length + 1 > self.context_length:
            raise DataError(
                f"a sequence of {length + 1} tokens does not fit the model's context of {self.context_length}. "
                "Use shorter problems or a model with a longer context."
            )

    # ---- one sample ----------------------------------------------------------------------------------------------

    async def _one(self, prompt: Sequence[int], index: int, sampling: Sampling, account: Account) -> Completion:
        room = min(sampling.max_tokens, self.context_length - len(prompt))
        seed = derive(sampling.key, index)

        async def work(client: Client, endpoint: Endpoint) -> Draft:
            fields = self._request(endpoint, prompt, sampling, room, seed)
            return await self._listen(client, endpoint, fields, sampling)

        draft = await self._run(work, len(prompt))
        self.ledger.charge(account, draft.usage(len(prompt)))
        tokens = await self._complete(prompt, draft.tokens, account)
        finish: Finish = draft.ended or "length"
        if finish != "answer" and len(prompt) + len(tokens) >= self.context_length:
            finish = "context"  # even after a step's delimiter: no other step can follow
        logprobs = tuple(token.logprob for token in tokens if token.logprob is not None)
        return Completion(
            tuple(token.id for token in tokens if token.id is not None),
            logprobs if len(logprobs) == len(tokens) else (),
            finish,
            alternatives=self._alternatives(tokens, sampling.decoding.alternatives),
        )

    def _alternatives(self, tokens: Sequence[Token], number: int) -> tuple[tuple[tuple[int, float], ...], ...]:
        return tuple(token.alternatives[:number] for token in tokens) if number else ()

    async def _complete(self, prompt: Sequence[int], tokens: list[Token], account: Account) -> list[Token]:
        """The tokens with the log-probabilities that the server left out, asked for one by one if it can be."""
        unknown = [i for i, token in enumerate(tokens) if token.logprob is None]
        if not unknown or self.able is None or not self.able.forced:
            return tokens
        ids = [*prompt, *(token.id for token in tokens if token.id is not None)]
        place = [len(prompt) + i for i in unknown]
        found = await asyncio.gather(*(self._logprob(ids[:p], ids[p], account) for p in place))
        filled = dict(zip(unknown, found, strict=True))
        return [Token(t.id, filled.get(i, t.logprob), t.alternatives) for i, t in enumerate(tokens)]

    async def _logprob(self, prompt: Sequence[int], token: int, account: Account) -> float | None:
        """The log-probability of a token after a prompt, read from the alternatives to an end that is forced there.

        (Parts of a character cannot be forced themselves: llama.cpp would withhold them again.)
        """
        sampling = Sampling(0, replace(GREEDY, alternatives=SEARCHED), 1)

        async def work(client: Client, endpoint: Endpoint) -> Draft:
            fields = forced(self._request(endpoint, prompt, sampling, 1, 0), self.words.eos_id)
            return await self._listen(client, endpoint, fields, sampling)

        try:
            draft = await self._pool.run(work)
        except Refused:
            return None
        self.ledger.charge(account, draft.usage(len(prompt)))
        end = draft.tokens[0] if draft.tokens else Token(None, None)
        return end.logprob if end.id == token else dict(end.alternatives).get(token)

    async def _run(self, work: Any, length: int) -> Draft:
        try:
            draft: Draft = await self._pool.run(work)
        except Refused as error:
            if error.too_long:
                raise DataError(
                    f"a sequence of {length + 1} tokens does not fit the server's context: {error.message}. "
                    "Use shorter problems or start the server with a longer context."
                ) from None
            raise EnvironmentFailure(f"a server refused a request: {error}. Its log may say more.") from None
        return draft

    def _request(
        self, endpoint: Endpoint, prompt: Sequence[int], sampling: Sampling, room: int, seed: int
    ) -> dict[str, Any]:
        able = endpoint.able
        assert able is not None  # the pool hands out checked endpoints only
        return body(
            able.dialect,
            able.model,
            prompt if able.token_prompts else self.words.decode(prompt),
            sampling.decoding,
            max_tokens=room,
            seed=seed,
            eos_id=self.words.eos_id,
            logprobs=max(sampling.decoding.alternatives, 1) if able.logprobs else None,
        )

    async def _listen(self, client: Client, endpoint: Endpoint, fields: Mapping[str, Any], sampling: Sampling) -> Draft:
        """One streamed sample, read up to its end."""
        draft = Draft(self.words, sampling)
        try:
            async with aclosing(client.events(f"{endpoint.url}/completions", fields)) as events:
                async for event in events:
                    if draft.feed(chunk_of(event)):
                        break
        except Malformed as error:
            raise Refused(0, f"{endpoint.url} sent a reply that is not understood: {error}") from None
        if not draft.ended:
            raise Unavailable("the reply stopped in the middle")
        return draft

    # ---- meeting a server ----------------------------------------------------------------------------------------

    async def _check(self, client: Client, endpoint: Endpoint) -> None:
        """Whether an endpoint answers, has the model, and can do what the others can."""
        await _healthy(client, endpoint.url)
        if endpoint.able is not None:  # it is back: is it the same?
            names = await _names(client, endpoint.url)
            if names and endpoint.able.model not in names and self.config.model is None:
                raise Refused(0, f"no longer serves {endpoint.able.model!r}. It lists: {', '.join(names)}.")
            return

        async def ask(fields: Mapping[str, Any]) -> Draft:
            return await self._listen(client, endpoint, fields, Sampling(0))

        model, context = await self._model(client, endpoint.url, ask)
        able = await probe(ask, model, context, self.words)
        if self.able is not None and common([self.able, able]) != self.able:
            raise Refused(0, "came back with fewer capabilities than the other servers have")
        endpoint.able = able

    async def _model(self, client: Client, url: str, ask: Any) -> tuple[str, int | None]:
        """The name to ask for, and the server's context."""
        names = await _names(client, url)
        wanted = self.config.model
        if wanted is None and len(names) == 1:
            return next(iter(names.items()))
        choices = ", ".join(names) or "none"
        if wanted is None:
            raise Refused(0, f"lists these models: {choices}. Name one in engine.model.")
        if wanted in names or await self._knows_names(ask):
            return wanted, names.get(wanted)
        raise Refused(0, f"does not serve {wanted!r}. It lists: {choices}. Correct engine.model.")

    async def _knows_names(self, ask: Any) -> bool:
        """True for a server that refuses models it does not have, so that one it does not list may be tried."""
        fields = body("openai", NOBODY, "a", GREEDY, max_tokens=1, seed=0, eos_id=self.words.eos_id)
        try:
            await ask(fields)
        except (Refused, Unavailable):
            return True
        return False


async def _healthy(client: Client, url: str) -> None:
    """Makes sure that something answers: `/health` beside the API, or where there is none, the list of models."""
    try:
        await client.get(f"{url.removesuffix('/v1')}/health")
    except Refused:  # it answers, in whatever words
        return


async def _names(client: Client, url: str) -> dict[str, int | None]:
    """The models that a server lists; none for one that cannot (`transformers serve` without a model cache)."""
    try:
        return model_names(await client.get(f"{url}/models"))
    except (Refused, Unavailable, Malformed) as error:
        if isinstance(error, Refused) and error.status in (401, 403):
            raise
        return {}


def needs(decoding: Decoding) -> list[str]:
    """What a server must be able to do to decode like this."""
    told = ["alternatives"] if decoding.alternatives else []
    if decoding.greedy:
        return told
    return [
        *told,
        "temperature",
        *(["top_k"] if decoding.top_k > 0 else []),
        *(["top_p"] if decoding.top_p < 1 else []),
        *(["min_p"] if decoding.min_p > 0 else []),
    ]


def _key(config: ServersConfig) -> str | None:
    """The key for the endpoints, from the environment.

    Raises:
        EnvironmentFailure: the variable is not set.
    """
    if config.api_key_env is None:
        return None
    key = os.environ.get(config.api_key_env, "").strip()
    if not key:
        raise EnvironmentFailure(f"engine.api_key_env: the variable {config.api_key_env} is not set. Export it.")
    remember(key, f"${{env:{config.api_key_env}}}")
    return key
