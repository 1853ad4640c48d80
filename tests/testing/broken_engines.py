"""Engines with one flaw each, which the conformance kit must find."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from pydantic import create_model

from o1kit.config import Config
from o1kit.engines.torch import TorchEngine
from o1kit.models.config import TorchEngineConfig
from o1kit.types import Account, Completion


class Tempered(TorchEngine):
    """Reports other log-probabilities than the model's."""

    async def sample(self, prompt: Any, n: int, sampling: Any, account: Account = Account()) -> list[Completion]:
        found = await super().sample(prompt, n, sampling, account)
        return [replace(c, logprobs=tuple(x / 2 for x in c.logprobs)) for c in found]


class Unsteady(TorchEngine):
    """Samples depend on how many requests there were."""

    asked = 0

    async def sample(self, prompt: Any, n: int, sampling: Any, account: Account = Account()) -> list[Completion]:
        self.asked += 1
        return await super().sample(prompt, n, replace(sampling, key=sampling.key + self.asked), account)


class Cramped(TorchEngine):
    """Samples depend on the batch."""

    async def sample(self, prompt: Any, n: int, sampling: Any, account: Account = Account()) -> list[Completion]:
        return await super().sample(prompt, n, replace(sampling, key=sampling.key + self.max_batch), account)


class Dull(TorchEngine):
    """Knows no greedy tokens."""

    async def sample(self, prompt: Any, n: int, sampling: Any, account: Account = Account()) -> list[Completion]:
        drawn = replace(sampling, decoding=replace(sampling.decoding, greedy=False))
        return await super().sample(prompt, n, drawn, account)


class Endless(TorchEngine):
    """Always says that there was no more room."""

    async def sample(self, prompt: Any, n: int, sampling: Any, account: Account = Account()) -> list[Completion]:
        return [replace(c, finish="length") for c in await super().sample(prompt, n, sampling, account)]


class Embezzling(TorchEngine):
    """Charges nobody in particular."""

    async def sample(self, prompt: Any, n: int, sampling: Any, account: Account = Account()) -> list[Completion]:
        return await super().sample(prompt, n, sampling)


class Shifted(TorchEngine):
    """Reads the head one token too early."""

    async def score(self, tokens: Any, positions: Any, account: Account = Account()) -> list[float]:
        return await super().score(tokens, [max(0, p - 1) for p in positions], account)


class Stubborn(TorchEngine):
    """Goes on with what nobody waits for."""

    async def sample(self, prompt: Any, n: int, sampling: Any, account: Account = Account()) -> list[Completion]:
        task = asyncio.ensure_future(super().sample(prompt, n, sampling, account))
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(task)
        return task.result()


class Credulous(TorchEngine):
    """Takes every prompt."""

    async def sample(self, prompt: Any, n: int, sampling: Any, account: Account = Account()) -> list[Completion]:
        known = [t for t in prompt if 0 <= t < 50][:20] or [1]
        return await super().sample(prompt if len(prompt) and max(prompt) < 500 else known, n, sampling, account)


def engine_section(name: str) -> type[Config]:
    return create_model(f"{name}Section", __base__=TorchEngineConfig, kind=(Literal[name], ...), __doc__="An engine.")  # type: ignore[valid-type, call-overload, no-any-return]


def engine_factory(made: type[TorchEngine]) -> Any:
    return lambda config, model, template: made(model, template.eos_id, config.max_batch, decode=template.decode)


ENGINES = {
    name: (engine_section(name), engine_factory(made), check)
    for name, made, check in (
        ("tempered", Tempered, "logprobs"),
        ("dull", Dull, "greedy"),
        ("unsteady", Unsteady, "function_of_the_key"),
        ("cramped", Cramped, "any_batch_size"),
        ("endless", Endless, "endings"),
        ("embezzling", Embezzling, "ledger"),
        ("shifted", Shifted, "score"),
        ("stubborn", Stubborn, "cancellation"),
        ("credulous", Credulous, "bad_input"),
    )
}
