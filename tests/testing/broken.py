"""Plugins with one flaw each, for which the conformance kit must find the check that names it."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict

from o1kit.config import Count
from o1kit.functional.keys import derive
from o1kit.functional.voting import majority_vote
from o1kit.plugin import Plugin
from o1kit.search.sample import independent
from o1kit.search.section import DecodingConfig
from o1kit.types import SearchResult, State, Trajectory, Usage


class Section(DecodingConfig):
    """Samples a few chains."""

    num_samples: Count = 3
    """Samples a problem."""

    @property
    def title(self) -> str:
        return "flawed"


class Sound:
    """What all of them would do without their flaws."""

    def __init__(self, config: Any) -> None:
        self.config, self.calls = config, 0

    async def run(self, root: State, *, policy: Any, reward: Any, key: int) -> SearchResult:
        return self.result(await self.states(root, policy, key), root, policy)

    async def states(self, root: State, policy: Any, key: int) -> list[State]:
        found: list[State] = await policy.complete(root, self.config.num_samples, key=key)
        return found

    def result(self, states: list[State], root: State, policy: Any) -> SearchResult:
        result = independent(states, root, policy)
        return replace(result, answers=(majority_vote(result.answers),))


class SoundConfig(Section):
    """Nothing is wrong with it."""

    kind: Literal["sound"]
    """Selects it."""


class RandomConfig(Section):
    """Draws from the global generator."""

    kind: Literal["random"]
    """Selects it."""


class Random(Sound):
    async def states(self, root: State, policy: Any, key: int) -> list[State]:
        return await super().states(root, policy, derive(key, random.randrange(1000)))


class CountingConfig(Section):
    """The result of a problem depends on how many were searched before."""

    kind: Literal["counting"]
    """Selects it."""


class Counting(Sound):
    async def states(self, root: State, policy: Any, key: int) -> list[State]:
        self.calls += 1
        return await super().states(root, policy, derive(key, self.calls))


class RacingConfig(Section):
    """Takes the chains that are done first."""

    kind: Literal["racing"]
    """Selects it."""


class Racing(Sound):
    async def states(self, root: State, policy: Any, key: int) -> list[State]:
        jobs = [policy.complete(root, 1, key=derive(key, i)) for i in range(self.config.num_samples)]
        return [(await done)[0] for done in asyncio.as_completed(jobs)]


class FreeConfig(Section):
    """Does not count what it throws away."""

    kind: Literal["free"]
    """Selects it."""


class Free(Sound):
    async def states(self, root: State, policy: Any, key: int) -> list[State]:
        return (await super().states(root, policy, key))[:-1]


class AnonymousConfig(Section):
    """Samples for a problem that is not the one it was given."""

    kind: Literal["anonymous"]
    """Selects it."""


class Anonymous(Sound):
    async def states(self, root: State, policy: Any, key: int) -> list[State]:
        other = replace(root, problem=replace(root.problem, id="scratch"))
        return [replace(s, problem=root.problem) for s in await super().states(other, policy, key)]


class ForgetfulConfig(Section):
    """Asks other questions when it is started again."""

    kind: Literal["forgetful"]
    """Selects it."""


class Forgetful(Sound):
    started = itertools.count()

    async def states(self, root: State, policy: Any, key: int) -> list[State]:
        return await super().states(root, policy, derive(key, next(self.started)))


class DeafConfig(Section):
    """Swallows cancellation."""

    kind: Literal["deaf"]
    """Selects it."""


class Deaf(Sound):
    async def states(self, root: State, policy: Any, key: int) -> list[State]:
        try:
            return await super().states(root, policy, key)
        except asyncio.CancelledError:
            return []


class LeakyConfig(Section):
    """Leaves a task behind when it is cancelled."""

    kind: Literal["leaky"]
    """Selects it."""


class Leaky(Sound):
    async def states(self, root: State, policy: Any, key: int) -> list[State]:
        task = asyncio.ensure_future(super().states(root, policy, key))
        return await asyncio.shield(task)


class ShortConfig(Section):
    """Returns chains that have not ended."""

    kind: Literal["short"]
    """Selects it."""


class Short(Sound):
    async def run(self, root: State, *, policy: Any, reward: Any, key: int) -> SearchResult:
        actions = await policy.propose(root, 1, key=key)
        state = root.after(*actions)
        usage = Usage(generated=sum(len(a.completion.token_ids) for a in actions))
        return SearchResult((Trajectory(state, None),), (None,), usage)


class UntitledConfig(Section):
    """Has no name in tables."""

    kind: Literal["untitled"]
    """Selects it."""

    @property
    def title(self) -> str:
        return ""


class LooseConfig(Section):
    """Takes any key."""

    model_config = ConfigDict(extra="allow")
    kind: Literal["loose"]
    """Selects it."""


class BoundlessConfig(Section):
    """Takes any number."""

    kind: Literal["boundless"]
    """Selects it."""
    width: int = 2
    """How wide."""


class KindlyConfig(Section):
    """Makes a number of any text."""

    kind: Literal["kindly"]
    """Selects it."""
    width: Annotated[Count, BeforeValidator(lambda value: 2 if isinstance(value, str) else value)] = 2
    """How wide."""


class SilentConfig(Section):
    """Does not say what its options are."""

    kind: Literal["silent"]
    """Selects it."""
    width: Count = 2


SEARCHES = {
    "sound": (SoundConfig, Sound, None),
    "random": (RandomConfig, Random, "same_key_same_result"),
    "counting": (CountingConfig, Counting, "any_order"),
    "racing": (RacingConfig, Racing, "any_batch_size"),
    "free": (FreeConfig, Free, "budget"),
    "anonymous": (AnonymousConfig, Anonymous, "charged"),
    "forgetful": (ForgetfulConfig, Forgetful, "resumes"),
    "deaf": (DeafConfig, Deaf, "cancellation"),
    "leaky": (LeakyConfig, Leaky, "cancellation"),
    "short": (ShortConfig, Short, "well_formed"),
    "untitled": (UntitledConfig, Sound, "section"),
    "loose": (LooseConfig, Sound, "unknown_key"),
    "boundless": (BoundlessConfig, Sound, "out_of_range"),
    "kindly": (KindlyConfig, Sound, "wrong_type"),
    "silent": (SilentConfig, Sound, "documented"),
}
"""By kind: section, factory, and the check that must find it out."""


class Plugins:
    """What the entry points name."""


for _kind, (_config, _factory, _) in SEARCHES.items():
    setattr(Plugins, f"searches_{_kind}", Plugin(api=1, config=_config, factory=_factory))
