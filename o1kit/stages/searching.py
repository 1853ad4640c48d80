"""Running searches over many problems at once, from ordinary (not async) code."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, overload

from o1kit import registry
from o1kit.artifacts import CHECKPOINTS
from o1kit.config import public
from o1kit.engines.http import HttpEngine, Vocabulary
from o1kit.engines.policy import LanguagePolicy, PromptTemplate
from o1kit.engines.torch import TorchEngine
from o1kit.ledger import reading
from o1kit.models.config import ServersConfig, TorchEngineConfig
from o1kit.models.language_model import LanguageModel
from o1kit.models.reading import read_reading
from o1kit.protocols import Engine, StageInputs
from o1kit.report.tree import Origin
from o1kit.rewards.verifier import Verifier, verifier_of
from o1kit.search.config import SearchConfig
from o1kit.search.journal import Journals
from o1kit.search.section import NAME
from o1kit.tasks.suite import Suite
from o1kit.tracking.progress import Progress
from o1kit.types import SearchResult

T = TypeVar("T")
U = TypeVar("U")


def build_engine(model: LanguageModel, template: PromptTemplate, config: TorchEngineConfig) -> Engine:
    """The engine of a section, in this process, over a model."""
    engine: Engine = registry.lookup("engines", config.kind)(config, model, template)
    return engine


def torch_engine(config: TorchEngineConfig, model: LanguageModel, template: PromptTemplate) -> TorchEngine:
    """The built-in engine in this process."""
    given = config.max_batch, config.memory_mb, template.decode
    return TorchEngine(model, template.eos_id, *given, compiled=config.compiled)


def build_policy(
    model: LanguageModel,
    template: PromptTemplate,
    config: TorchEngineConfig,
    others: Callable[[str], LanguagePolicy] | None = None,
) -> LanguagePolicy:
    """A policy with an engine of its own; `others` gives those of other stages by name."""
    return LanguagePolicy(build_engine(model, template, config), template, model.context_length, others)


def build_served(
    template: PromptTemplate,
    context_length: int,
    config: ServersConfig,
    needs: Sequence[str],
    purpose: str,
    *,
    judges: bool = False,
) -> LanguagePolicy:
    """A policy that servers hold; only its tokenizer is here.

    Raises:
        EnvironmentFailure: no server answers, or they lack something of what is needed.
    """
    ends = frozenset(template.tokenizer.all_special_ids)
    words = Vocabulary(template.encode, template.written, template.eos_id, ends)
    engine = HttpEngine(config, words, context_length)
    asyncio.run(engine.require(needs, purpose))
    return LanguagePolicy(engine, template, engine.context_length, judges=judges)


def build_verifier(suite: Suite, policy: LanguagePolicy) -> Verifier:
    """The tasks' own scorers in worker processes, which start with the first answer."""
    return verifier_of(suite, policy.answer)


def judge_name(inputs: StageInputs) -> str:
    """The kind of a stage's judge; for the name of a stage that of the reward model it trained."""
    judge = inputs.config.judge
    if not isinstance(judge, str):
        return judge.kind if judge is not None else ""
    return read_reading(inputs.artifacts[judge].directory).kind if judge in inputs.artifacts else NAME


def label(config: SearchConfig, judge: str = NAME) -> str:
    """What a search is called in tables; `oracle` where the search itself uses the ground truth.

    A process reward model is what is meant where nothing else is said: another judge's kind stands in its place
    (`orm_vote@8`), or after it (`rm@8 by orm`).
    """
    title = config.title
    if config.judge == "judge" and judge != NAME:
        other = re.sub(rf"\b{NAME}(?=\b|_)", judge, title)
        title = other if other != title else f"{title} by {judge}"
    return f"{title} oracle" if config.oracle else title


def origin_of(inputs: StageInputs, config: SearchConfig, policy: str, split: str, version: int | None) -> Origin:
    """What the trees of one search have in common."""
    section = public(config)
    kind = judge_name(inputs)
    judge = kind if config.judge == "judge" else config.judge or ""
    return Origin(inputs.fingerprint, policy, split, inputs.seed, label(config, kind), section, judge, version)


def journals_of(inputs: StageInputs) -> Journals:
    """The records that a killed stage goes on from: they lie where its checkpoints do, and go with them."""
    return Journals(
        inputs.directory / CHECKPOINTS, recipe_hash=inputs.fingerprint, stage=inputs.config.name, seed=inputs.seed
    )


async def counted(search: Awaitable[SearchResult]) -> SearchResult:
    """What a search finds; `scored` of its usage is what reward models have read for it."""
    with reading() as read:
        found = await search
    return replace(found, usage=replace(found.usage, scored=read.tokens))


def mean_stats(results: Sequence[SearchResult]) -> dict[str, float]:
    """What the searches tell about themselves, each the mean over those that tell it."""
    names = sorted({name for result in results for name in result.stats})
    told = {name: [r.stats[name] for r in results if name in r.stats] for name in names}
    return {name: sum(values) / len(values) for name, values in told.items()}


@overload
def run_all(
    items: Sequence[T],
    work: Callable[[int, T], Awaitable[U]],
    *,
    label: str,
    concurrency: int = ...,
    finish: None = ...,
) -> list[U]: ...
@overload
def run_all(
    items: Sequence[T],
    work: Callable[[int, T], Awaitable[Any]],
    *,
    label: str,
    concurrency: int = ...,
    finish: Callable[[Any], Awaitable[U]] | None,
) -> list[U]: ...
def run_all(
    items: Sequence[T],
    work: Callable[[int, T], Awaitable[Any]],
    *,
    label: str,
    concurrency: int = 512,
    finish: Callable[[Any], Awaitable[U]] | None = None,
) -> list[U]:
    """`work(index, item)` for every item, many at a time, with progress; results in the order of the items.

    `finish` makes the result of what `work` returns and asks no engine: the next item begins meanwhile. So what an
    engine computes together, and its last digits, do not depend on how long other processes take to verify.
    """
    results: dict[int, U] = {}

    async def drive(progress: Progress) -> None:
        gate = asyncio.Semaphore(concurrency)

        async def one(index: int, item: T) -> None:
            async with gate:
                made = await work(index, item)
            results[index] = made if finish is None else await finish(made)
            progress.advance(1)

        await asyncio.gather(*(one(i, item) for i, item in enumerate(items)))

    with Progress(label, total=len(items)) as progress:
        asyncio.run(drive(progress))
    return [results[i] for i in range(len(items))]
