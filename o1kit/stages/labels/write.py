"""`write_labels`: the labels of a source that samples, for a stage that is given one in its own section."""

from __future__ import annotations

from o1kit.engines.policy import PromptTemplate
from o1kit.models.config import local_engine
from o1kit.models.language_model import LanguageModel
from o1kit.protocols import StageInputs
from o1kit.report.label_schema import LabelRecord
from o1kit.stages.labels.config import MonteCarloLabelsConfig
from o1kit.stages.labels.desk import Desk
from o1kit.stages.labels.monte_carlo import MonteCarlo
from o1kit.stages.searching import build_policy, build_verifier, run_all
from o1kit.tasks.suite import Suite


def local_desk(inputs: StageInputs, model: LanguageModel, template: PromptTemplate, suite: Suite) -> Desk:
    """A desk with a model in this process, over the training problems; its policy is the stage `inputs` names."""
    policy = build_policy(model, template, local_engine(inputs.recipe.engine))
    artifact = inputs.artifacts.get(inputs.config.policy)
    fingerprint = artifact.fingerprint if artifact is not None else ""
    return Desk(policy, build_verifier(suite, policy), suite.problems("train"), inputs.seed, fingerprint)


def write_labels(source: MonteCarloLabelsConfig, desk: Desk, title: str = "labels") -> list[LabelRecord]:
    """All records of a source, in the order of the problems; `title` is what the progress display says."""
    problems = desk.problems[: source.num_problems]
    found = run_all(problems, MonteCarlo(source, desk).label, label=title, concurrency=64)
    return [record for records in found for record in records]
