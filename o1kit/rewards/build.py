"""`build_reward`: the reward that a recipe section, or the name of a stage, stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from o1kit import registry
from o1kit.decoding import Decoding
from o1kit.engines.policy import LanguagePolicy, PromptTemplate
from o1kit.errors import DataError, EnvironmentFailure
from o1kit.functional.arithmetic import Form
from o1kit.functional.keys import derive
from o1kit.models.reading import Reading, reading_ids
from o1kit.protocols import Engine, ReadingEngine
from o1kit.rewards.asking import Asker
from o1kit.rewards.calculator import CalculatorReward
from o1kit.rewards.chains import Chains, same_tokens
from o1kit.rewards.confidence import ConfidenceReward
from o1kit.rewards.config import (
    AskedSection,
    CalculatorConfig,
    ConfidenceConfig,
    ConstitutionConfig,
    JudgeRewardConfig,
    LabelReplyConfig,
    LikelihoodConfig,
    MixtureConfig,
    NumberReplyConfig,
    PairwiseRewardConfig,
    Part,
    SelfScoreRewardConfig,
    TrainedSection,
    ValueHeadConfig,
    VerifierConfig,
    parts,
)
from o1kit.rewards.constitution import ConstitutionReward
from o1kit.rewards.likelihood import LikelihoodReward
from o1kit.rewards.mixture import MixtureReward
from o1kit.rewards.oracle import OracleReward
from o1kit.rewards.pairwise import AskedPairs, HeadPairs
from o1kit.rewards.prm import OrmReward, PrmReward, ValueHeadReward
from o1kit.rewards.rubric import RubricReward
from o1kit.rewards.self_score import SelfScoreReward
from o1kit.rewards.verifier import Verifier

ASKING, ANCHORS = 1, 2
"""Streams of the noise that judges draw from."""


class Scorer(NamedTuple):
    """A reward model of a stage: what computes it, its tokenizer, and how it is read."""

    engine: Engine
    template: PromptTemplate
    reading: Reading


@dataclass(frozen=True)
class RewardContext:
    """Where rewards get their models from."""

    policy: LanguagePolicy
    """The policy whose chains are judged."""
    scorer: Callable[[str], Scorer]
    """The reward model of a stage."""
    asked: Callable[[str | None], LanguagePolicy]
    """The language model of a stage, or the policy itself, with a ledger of its own that charges to `score`."""
    seed: int
    """What the noise of all judges is derived from."""
    verifier: Callable[[], Verifier]
    """What knows the right answers of the recipe's problems."""
    served: Callable[[AskedSection], LanguagePolicy] | None = None
    """The language model on a section's own servers, with a ledger of its own that charges to `score`."""


def build_reward(config: str | Part | MixtureConfig, context: RewardContext) -> Any:
    """The reward of a section, or of a stage by name; the verifier's says that it is an oracle.

    Raises:
        DataError: a stage trained another kind of reward model than the section says, or its label tokens or mark are
            not single tokens of its tokenizer.
    """
    if isinstance(config, str):
        return trained(config, context)
    return registry.lookup("rewards", config.kind)(config, context)


def verifier(config: VerifierConfig, context: RewardContext) -> OracleReward:
    """What knows the right answers."""
    return OracleReward(context.verifier())


def confidence(config: ConfidenceConfig, context: RewardContext) -> ConfidenceReward:
    """The policy's confidence in its tokens."""
    return ConfidenceReward(config.top)


def value_head(config: ValueHeadConfig, context: RewardContext) -> ValueHeadReward:
    """The policy's own value head."""
    return ValueHeadReward(context.policy.engine)


def likelihood(config: LikelihoodConfig, context: RewardContext) -> LikelihoodReward:
    """How probable chains are to another language model."""
    policy = context.asked(config.model)
    if not isinstance(policy.engine, ReadingEngine):
        raise EnvironmentFailure(
            "`kind: likelihood` needs an engine that tells how probable given tokens are. Use `engine: {kind: torch}`."
        )
    own = None if same_tokens(context.policy.template.tokenizer, policy.template.tokenizer) else policy.template
    return LikelihoodReward(policy.engine, Chains(own=own), config.tokens)


def calculator(config: CalculatorConfig, context: RewardContext) -> CalculatorReward:
    """Whether the arithmetic of chains is right."""
    return CalculatorReward([Form(form) for form in config.forms], config.factor)


def asker(config: AskedSection, context: RewardContext) -> Asker:
    """The language model that a section asks."""
    if config.engine is None:
        policy = context.asked(config.model)
    elif context.served is None:
        raise EnvironmentFailure("a judge's own `engine` cannot be used here. Leave it out.")
    else:
        policy = context.served(config)
    return Asker(policy, derive(context.seed, ASKING))


def self_score(config: SelfScoreRewardConfig, context: RewardContext) -> SelfScoreReward:
    """A language model's marks."""
    return SelfScoreReward(config, asker(config, context))


def rubric(config: JudgeRewardConfig, context: RewardContext) -> RubricReward:
    """A language model's judgement by a rubric."""
    return RubricReward(config, asker(config, context))


def constitution(config: ConstitutionConfig, context: RewardContext) -> ConstitutionReward:
    """A language model's judgement by principles."""
    return ConstitutionReward(config, asker(config, context))


def mixture(config: MixtureConfig, context: RewardContext) -> MixtureReward:
    """Several rewards as one."""
    return MixtureReward([build_reward(part, context) for part in config.of], [part.weight for part in config.of])


def trained(config: str | TrainedSection, context: RewardContext) -> Any:
    """A reward model that a stage trained, by its name or by a section; see `build_reward`."""
    name = config if isinstance(config, str) else config.model
    engine, template, reading = context.scorer(name)
    wanted = reading.kind if isinstance(config, str) else getattr(config, "kind", "")
    if reading.kind != wanted:
        raise DataError(
            f"stage {name!r} trained a reward model of kind {reading.kind}, and the recipe reads it as one of kind "
            f"{wanted}. Write `kind: {reading.kind}`."
        )
    own = None if same_tokens(context.policy.template.tokenizer, template.tokenizer) else template
    chains = Chains(reading_ids(reading, template.tokenizer).mark, own, reading.surprise, reading.inner)
    if reading.kind == "prm":
        return PrmReward(engine, chains)
    if reading.kind == "orm":
        return OrmReward(engine, chains)
    if reading.by == "head":
        return HeadPairs(engine, chains)
    section = config if isinstance(config, PairwiseRewardConfig) else PairwiseRewardConfig(kind="pairwise", model=name)
    policy = context.asked(None)
    policy.engine.ledger = engine.ledger
    return AskedPairs(section, engine, template, policy, derive(context.seed, ANCHORS))


def engines_of(reward: Any) -> dict[str, Engine]:
    """The engines of a reward, or of the parts of a mixture, by what each is called; what costs nothing has none."""
    single = list(reward.parts) if isinstance(reward, MixtureReward) else [reward] if reward is not None else []
    named = zip(numbered([getattr(part, "name", "judge") for part in single]), single, strict=True)
    return {name: part.engine for name, part in named if getattr(part, "engine", None) is not None}


def named_parts(config: Part | MixtureConfig) -> dict[str, Part]:
    """The rewards of a section by name: their kinds, numbered where one comes up again."""
    listed = parts(config)
    return dict(zip(numbered(part.kind for part in listed), listed, strict=True))


def decodings(config: str | Part | MixtureConfig | None) -> list[Decoding]:
    """How a judge has its policy sample, by which a server can be asked beforehand whether it can."""
    listed = parts(config) if config is not None and not isinstance(config, str) else []
    of_policy = [p for p in listed if not isinstance(p, AskedSection) or (p.model, p.engine) == (None, None)]
    return [decoding for part in of_policy for decoding in sampled_by(part)]


def sampled_by(part: Part) -> list[Decoding]:
    """How a reward has the model sample that it asks, whichever that is, or its policy."""
    match part:
        case SelfScoreRewardConfig() | PairwiseRewardConfig():
            return [Decoding(part.temperature)]
        case JudgeRewardConfig(reply=NumberReplyConfig(temperature=temperature)):
            return [Decoding(temperature)]
        case JudgeRewardConfig(reply=LabelReplyConfig(alternatives=alternatives)):
            return [Decoding(greedy=True, alternatives=alternatives)]
        case ConstitutionConfig():
            asked = Decoding(greedy=True, alternatives=part.alternatives)
            return [asked, Decoding()] if part.critique_tokens else [asked]
        case ConfidenceConfig():
            return [Decoding(greedy=True, alternatives=part.top)]
    return []


def alternatives_of(config: str | Part | MixtureConfig | None) -> int:
    """How many of the likeliest tokens the policy must report with its samples, so that it can be judged."""
    listed = parts(config) if config is not None and not isinstance(config, str) else []
    return max((part.top for part in listed if isinstance(part, ConfidenceConfig)), default=0)


def numbered(names: Iterable[str]) -> list[str]:
    """The names, the second and following of equal ones with a number."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return found
