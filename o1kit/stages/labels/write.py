"""Sources that need problems, a policy and a verifier only: what a label stage, or a stage that trains, starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from o1kit.engines.policy import PromptTemplate
from o1kit.models.config import local_engine
from o1kit.models.language_model import LanguageModel
from o1kit.protocols import StageInputs
from o1kit.report.label_schema import LabelRecord
from o1kit.stages.labels.config import MonteCarloLabelsConfig, OmegaLabelsConfig
from o1kit.stages.labels.desk import Desk
from o1kit.stages.labels.monte_carlo import MonteCarlo
from o1kit.stages.labels.omega import Omega
from o1kit.stages.searching import build_policy, build_verifier, run_all
from o1kit.tasks.suite import Suite
from o1kit.types import Problem

CONCURRENCY = 64
"""Problems that are labelled at the same time."""


class Sampler(Protocol):
    """Labels problems one by one; a problem's records depend on the desk's seed and its index only."""

    @property
    def stats(self) -> Mapping[str, int]:
        """What the source counts besides records."""
        ...

    async def label(self, index: int, problem: Problem) -> list[LabelRecord]:
        """The records of a problem."""
        ...


def sampler_of(source: MonteCarloLabelsConfig | OmegaLabelsConfig, desk: Desk) -> Sampler:
    """The source that a section describes."""
    return MonteCarlo(source, desk) if isinstance(source, MonteCarloLabelsConfig) else Omega(source, desk)


def phases(
    sampler: Any,
) -> tuple[Callable[[int, Any], Awaitable[Any]], Callable[[Any], Awaitable[list[LabelRecord]]] | None]:
    """What a source does with the policy, and what it does after that, where the two are apart: see `run_all`."""
    return (sampler.draw, sampler.records) if isinstance(sampler, MonteCarlo) else (sampler.label, None)


def local_desk(inputs: StageInputs, model: LanguageModel, template: PromptTemplate, suite: Suite) -> Desk:
    """A desk with a model in this process, over the training problems; `policy` in the section names its stage."""
    policy = build_policy(model, template, local_engine(inputs.recipe.engine))
    artifact = inputs.artifacts.get(inputs.config.policy)
    fingerprint = artifact.fingerprint if artifact is not None else ""
    return Desk(policy, build_verifier(suite, policy), suite.problems("train"), inputs.seed, fingerprint)


def write_labels(
    source: MonteCarloLabelsConfig | OmegaLabelsConfig, desk: Desk, title: str = "labels"
) -> list[LabelRecord]:
    """All records of a source, in the order of the problems; `title` is what the progress display says."""
    problems = desk.problems[: source.num_problems]
    draw, finish = phases(sampler_of(source, desk))
    found: list[list[LabelRecord]] = run_all(problems, draw, label=title, concurrency=CONCURRENCY, finish=finish)
    return [record for records in found for record in records]
