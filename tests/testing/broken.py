"""Plugins with one flaw each, for which the conformance kit must find the check that names it."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, create_model

from o1kit.config import Count
from o1kit.functional.keys import derive
from o1kit.functional.voting import majority_vote
from o1kit.plugin import Plugin
from o1kit.protocols import Sampling
from o1kit.rewards.base import ChainReward
from o1kit.rewards.config import RewardSection
from o1kit.search.sample import independent
from o1kit.search.section import DecodingConfig
from o1kit.types import Score, SearchResult, State, Trajectory, Usage
from tests.testing.broken_engines import ENGINES
from tests.testing.broken_tasks import TASKS, WrongTeacher


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


class Unended(Sound):
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


SEARCHES: dict[str, tuple[Any, Any, str | None]] = {
    "sound": (SoundConfig, Sound, None),
    "random": (RandomConfig, Random, "same_key_same_result"),
    "counting": (CountingConfig, Counting, "any_order"),
    "racing": (RacingConfig, Racing, "any_batch_size"),
    "free": (FreeConfig, Free, "budget"),
    "anonymous": (AnonymousConfig, Anonymous, "charged"),
    "forgetful": (ForgetfulConfig, Forgetful, "resumes"),
    "deaf": (DeafConfig, Deaf, "cancellation"),
    "leaky": (LeakyConfig, Leaky, "cancellation"),
    "short": (ShortConfig, Unended, "well_formed"),
    "untitled": (UntitledConfig, Sound, "section"),
    "loose": (LooseConfig, Sound, "unknown_key"),
    "boundless": (BoundlessConfig, Sound, "out_of_range"),
    "kindly": (KindlyConfig, Sound, "wrong_type"),
    "silent": (SilentConfig, Sound, "documented"),
}
"""By kind: section, factory, and the check that must find it out."""


# ---- rewards ---------------------------------------------------------------------------------------------------------


class Short(ChainReward):
    """Sound: what is short is worth more."""

    name = "short"

    def __init__(self, config: Any, context: Any) -> None:
        self.config, self.context, self.calls = config, context, 0

    async def value(self, state: State) -> float:
        return 1 / (1 + len(state.token_ids))


class Unbounded(Short):
    """Not a probability."""

    async def value(self, state: State) -> float:
        return float(len(state.token_ids))


class Tiring(Short):
    """Gives less each time."""

    async def value(self, state: State) -> float:
        self.calls += 1
        return 1 / (1 + self.calls)


class Crowded(Short):
    """A score depends on how many are judged at once."""

    async def value(self, state: State) -> float:
        self.calls += 1
        await asyncio.sleep(0)
        found = 1 / (1 + self.calls)
        self.calls -= 1
        return found


class Nameless(Short):
    """Has no name."""

    name = ""


class Uncharged(Short):
    """Asks a model and charges nobody."""

    async def value(self, state: State) -> float:
        policy = self.context.policy
        (found,) = await policy.engine.sample(state.prompt_ids, 1, Sampling(1, max_tokens=3))
        return 1 / (1 + len(found.token_ids))


class Wordy(Short):
    """Names itself by what a journal cannot keep."""

    async def score(self, state: State) -> Score:
        return Score(await self.value(state), Path("wordy"))  # type: ignore[arg-type]


class DeafReward(Short):
    """Swallows cancellation."""

    async def value(self, state: State) -> float:
        policy = self.context.policy
        try:
            await policy.complete(state, 1, key=1) if not state.terminal else await policy.complete(
                replace(state, actions=()), 1, key=1
            )
        except asyncio.CancelledError:
            return 0.0
        return 0.5


def reward_section(name: str) -> type[RewardSection]:
    return create_model(f"{name}Section", __base__=RewardSection, kind=(Literal[name], ...), __doc__="A reward.")  # type: ignore[valid-type, call-overload, no-any-return]


REWARDS = {
    "unbounded": (reward_section("unbounded"), Unbounded, "in_range"),
    "tiring": (reward_section("tiring"), Tiring, "same_chain_same_score"),
    "crowded": (reward_section("crowded"), Crowded, "any_batch"),
    "nameless": (reward_section("nameless"), Nameless, "described"),
    "uncharged": (reward_section("uncharged"), Uncharged, "charged"),
    "wordy": (reward_section("wordy"), Wordy, "resumes"),
    "deaf_reward": (reward_section("deaf_reward"), DeafReward, "cancellation"),
}


KINDS: dict[str, dict[str, tuple[Any, Any, str | None]]] = {
    "searches": SEARCHES,
    "tasks": TASKS,
    "rewards": REWARDS,
    "engines": ENGINES,
}


class Plugins:
    """What the entry points name."""


for _group, _kinds in KINDS.items():
    for _kind, (_config, _factory, _) in _kinds.items():
        setattr(Plugins, f"{_group}_{_kind}", Plugin(api=1, config=_config, factory=_factory))
Plugins.teachers_wrong_teacher = Plugin(api=1, config=None, factory=WrongTeacher)  # type: ignore[attr-defined]
