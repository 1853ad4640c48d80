"""What judges chains must fit: the stages that trained it, the searches that ask it, the engine it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from o1kit.config import Config
from o1kit.models.config import HttpEngineConfig, JudgeServersConfig
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import Path, Source
from o1kit.rewards.config import (
    AskedSection,
    ConstitutionConfig,
    JudgeConfig,
    LikelihoodConfig,
    MixtureConfig,
    Part,
    RewardConfig,
    TrainedSection,
    parts,
)
from o1kit.search.config import BestOfNConfig, SearchConfig
from o1kit.stages.prm.config import PrmConfig

OUTCOME = ("orm", "pairwise", "verifier")
TRAINED = ("prm", "orm", "pairwise")


class Placed(NamedTuple):
    """A reward and where its section is, within that of its stage."""

    path: Path
    part: Part


def placed(config: RewardConfig | MixtureConfig, path: Path) -> list[Placed]:
    """The rewards of a section, each with its place."""
    if isinstance(config, MixtureConfig):
        return [Placed((*path, "of", i), part) for i, part in enumerate(config.of)]
    return [Placed(path, part) for part in parts(config)]


def models(config: JudgeConfig | RewardConfig | None, path: Path) -> Iterator[tuple[Path, str, bool]]:
    """The stages that a reward names: where, which, and whether as a reward model (else as a language model)."""
    if isinstance(config, str):
        yield path, config, True
    elif config is not None:
        for place, part in placed(config, path):
            if isinstance(part, TrainedSection):
                yield (*place, "model"), part.model, True
            elif isinstance(part, AskedSection | LikelihoodConfig) and part.model is not None:
                yield (*place, "model"), part.model, False


def judges_here(stage: Config) -> int:
    """How many models a stage's judge and reward hold in this process, beside the policy: none that a server holds."""
    found: set[str] = {"judge_folder"} if getattr(stage, "judge_folder", None) is not None else set()
    for config in (getattr(stage, "judge", None), getattr(stage, "reward", None)):
        if isinstance(config, str):
            found.add(config)
        elif isinstance(config, Config):
            for _, part in placed(cast(Any, config), ()):
                model = getattr(part, "model", None)
                if model is not None and getattr(part, "engine", None) is None:
                    found.add(model)
    return len(found)


def judge_servers(recipe: Recipe) -> Iterator[tuple[Path, JudgeServersConfig]]:
    """The servers that judges and rewards have of their own, each with its place."""
    for i, stage in enumerate(recipe.stages):
        for key in ("judge", "reward"):
            config = getattr(stage, key, None)
            for place, part in placed(cast(Any, config), ("stages", i, key)) if isinstance(config, Config) else []:
                if isinstance(part, AskedSection) and part.engine is not None:
                    yield (*place, "engine"), part.engine


def kinds_of(config: JudgeConfig | RewardConfig | None, recipe: Recipe) -> list[str]:
    """The kinds of a judge and of its parts; of a stage by name that of the reward model it trains."""
    if config is None:
        return []
    if isinstance(config, str):
        trained = {s.name: s.objective.kind for s in recipe.stages if isinstance(s, PrmConfig)}
        return [trained.get(config, "prm")]
    return [part.kind for part in parts(config)]


def check_reward(config: JudgeConfig | RewardConfig | None, path: Path, recipe: Recipe, source: Source) -> None:
    """Adds a fault for what a reward is, wherever it stands, and its stages do not train."""
    if config is None or isinstance(config, str):
        return
    trained = {s.name: s.objective.kind for s in recipe.stages if isinstance(s, PrmConfig)}
    for place, part in placed(config, path):
        read = isinstance(part, TrainedSection) and part.kind in TRAINED
        kind = trained.get(getattr(part, "model", ""), part.kind) if read else part.kind
        if kind != part.kind and isinstance(part, TrainedSection):
            text = f"stage {part.model!r} trains a reward model of kind {kind}. Write `kind: {kind}`."
            source.fault((*place, "kind"), text)
        if part.kind == "value_head" and isinstance(recipe.engine, HttpEngineConfig):
            source.fault(place, "a completions server has no value head. Use another kind, or `engine: {kind: torch}`.")


def check_judge(config: JudgeConfig | None, path: Path, recipe: Recipe, source: Source) -> None:
    """Adds a fault for what cannot judge a search."""
    check_reward(config, path, recipe, source)
    if config is None or isinstance(config, str):
        return
    for place, part in placed(config, path):
        if isinstance(part, ConstitutionConfig) and part.pays == "penalty":
            source.fault((*place, "pays"), "a penalty is for PPO's `reward`; a search needs a score. Leave it out.")
    if not isinstance(config, MixtureConfig) and config.weight != 1:
        source.fault((*path, "weight"), "a weight counts among several rewards only. Leave it out.")


def check_asked(search: SearchConfig, path: Path, config: JudgeConfig | None, recipe: Recipe, source: Source) -> None:
    """Adds a fault for what the stage's judge cannot do in a search that asks it."""
    if search.judge != "judge" or config is None:
        return
    kinds = kinds_of(config, recipe)
    if search.cuts_steps and any(kind in TRAINED for kind in kinds):
        text = "a reward model is trained at the ends of steps, and this search ends actions anywhere"
        source.fault(
            path, f"{text}: use `{search.judge_key}: confidence` or `value_head`, another judge, or whole steps."
        )
    if all(_outcome(part) for part in _sections(config, kinds)) and "prod" in _aggregates(search):
        text = "this judge gives every step of a chain the same score, and a product of these grows with their number"
        source.fault((*path, "aggregate"), f"{text}. Use `aggregate: last`, or a judge of steps.")
    if kinds == ["pairwise"] and isinstance(search, BestOfNConfig):
        if search.adaptive is not None:
            text = "samples are ranked among one another when all are drawn, and the rule looks at scores before"
            source.fault((*path, "adaptive"), f"{text}. Leave it out, or use `token_budget`.")
        if search.aggregate != "min":
            text = "a pairwise judge compares whole chains: there are no scores of steps to aggregate. Leave it out."
            source.fault((*path, "aggregate"), text)


def _sections(config: JudgeConfig, kinds: list[str]) -> list[Any]:
    return list(kinds) if isinstance(config, str) else list(parts(config))


def _outcome(part: Part | str) -> bool:
    """True for what judges whole chains."""
    kind = part if isinstance(part, str) else part.kind
    return kind in OUTCOME or getattr(part, "level", "") == "outcome"


def _aggregates(search: SearchConfig) -> set[str]:
    """How a search makes one number of the scores of steps, wherever it says so."""
    algorithm = getattr(search, "algorithm", None)
    sections = (search, getattr(search, "mode", None), getattr(algorithm, "score", None))
    return {getattr(section, "aggregate", "") for section in sections}
