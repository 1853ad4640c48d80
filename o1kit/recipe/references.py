"""What one part of a recipe says about another: stage references, splits, and settings that must fit together."""

from __future__ import annotations

from typing import Any

from o1kit.models.config import HttpEngineConfig, ScratchModelConfig
from o1kit.recipe.generators import check_generators
from o1kit.recipe.judges import TRAINED, check_asked, check_judge, check_reward, kinds_of, models, placed
from o1kit.recipe.leaks import check_measured
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import Path, Source
from o1kit.recipe.training import check_training
from o1kit.reference import JUDGES, POLICIES, Reference
from o1kit.registry import suggestion
from o1kit.rewards.config import JudgeConfig, RewardConfig
from o1kit.search.config import BestOfNConfig, GreedyConfig, SearchConfig, SelfRefineConfig
from o1kit.stages.dpo.config import DpoConfig, StagePairsConfig
from o1kit.stages.evaluate.config import OWN, EvaluateConfig
from o1kit.stages.labels.config import (
    SAMPLED,
    ConsensusLabelsConfig,
    JudgeLabelsConfig,
    LabelsConfig,
    RevisionLabelsConfig,
    TreeLabelsConfig,
)
from o1kit.stages.pairs.config import (
    OutcomePairsConfig,
    PairsConfig,
    RevisionPairsConfig,
    StepPairsConfig,
    TreePairsConfig,
)
from o1kit.stages.ppo.config import PpoConfig
from o1kit.stages.prm.config import PrmConfig, StageLabelsConfig
from o1kit.stages.rollout.config import RolloutConfig
from o1kit.stages.sft.config import SftConfig
from o1kit.tasks.graders.config import PythonConfig

LABELS, PAIRS = ("labels",), ("pairs",)


def references(stage: Any) -> list[Reference]:
    """The earlier stages that a stage's section names, in the order of its fields."""
    match stage:
        case SftConfig(policy=str(policy)):
            return [Reference(("policy",), policy, POLICIES)]
        case LabelsConfig() | PairsConfig():
            return _label_references(stage)
        case PrmConfig():
            found = [Reference(("policy",), stage.policy, POLICIES)]
            if isinstance(stage.labels, StageLabelsConfig):
                kinds = LABELS + PAIRS if stage.objective.kind == "pairwise" else LABELS
                found.append(Reference(("labels", "stage"), stage.labels.stage, kinds))
            return found
        case DpoConfig():
            found = [Reference(("policy",), stage.policy, POLICIES)]
            if stage.reference is not None:
                found.append(Reference(("reference",), stage.reference, POLICIES))
            if isinstance(stage.pairs, StagePairsConfig):
                found.append(Reference(("pairs", "stage"), stage.pairs.stage, PAIRS))
            return found
        case PpoConfig():
            found = [Reference(("policy",), stage.policy, POLICIES), *_rewards(stage.reward, ("reward",))]
            found += [Reference(("search",), name, POLICIES) for name in stage.search.models]
            return found + _rewards(stage.judge, ("judge",))
        case EvaluateConfig():
            named = [(i, name) for i, name in enumerate(stage.policies) if name != OWN]
            found = [Reference(("policies", i), name, POLICIES, (OWN,)) for i, name in named]
            models = [(i, name) for i, search in enumerate(stage.searches) for name in search.models if name != OWN]
            found += [Reference(("searches", i), name, POLICIES, (OWN,)) for i, name in models]
            if isinstance(stage.labels, StageLabelsConfig):
                found.append(Reference(("labels", "stage"), stage.labels.stage, LABELS))
            return found + _rewards(stage.judge, ("judge",))
        case RolloutConfig():
            names = [("policy", stage.policy), *(("search", name) for name in stage.search.models)]
            found = [Reference((field,), name, POLICIES, (OWN,)) for field, name in names if name != OWN]
            return found + _rewards(stage.judge, ("judge",))
    return list(stage.references())


def _label_references(stage: LabelsConfig | PairsConfig) -> list[Reference]:
    """The policy and the stages that labels or pairs are made from."""
    found: list[Reference] = []
    if stage.policy is not None and stage.policy != OWN:
        found.append(Reference(("policy",), stage.policy, POLICIES, (OWN,)))
    match stage.source:
        case ConsensusLabelsConfig(of=names):
            found += [Reference(("source", "of", i), name, ("labels",)) for i, name in enumerate(names)]
        case TreeLabelsConfig(of=name) | TreePairsConfig(of=name):
            found.append(Reference(("source", "of"), name, ("rollout",)))
        case OutcomePairsConfig(of=name):
            found.append(Reference(("source", "of"), name, ("labels", "rollout")))
        case JudgeLabelsConfig(of=name) | RevisionLabelsConfig(of=name):
            found.append(Reference(("source", "of"), name, ("labels",)))
        case StepPairsConfig(of=name) | RevisionPairsConfig(of=name):
            found.append(Reference(("source", "of"), name, ("labels",)))
    return found


def _rewards(config: JudgeConfig | RewardConfig | None, path: Path) -> list[Reference]:
    """The reward models and the language models that a reward names."""
    named = [(place, name, trained) for place, name, trained in models(config, path) if trained or name != OWN]
    found = [
        Reference(place, name, JUDGES) if t else Reference(place, name, POLICIES, (OWN,)) for place, name, t in named
    ]
    declared = placed(config, path) if config is not None and not isinstance(config, str) else []
    return found + [ref._replace(path=(*at, *ref.path)) for at, part in declared for ref in part.references()]


def check(recipe: Recipe, source: Source) -> None:
    """Adds a fault for everything that does not fit together."""
    _check_model(recipe, source)
    _check_grading(recipe, source)
    check_generators(recipe, source)
    check_training(recipe, source)
    learns = any(
        not isinstance(stage, EvaluateConfig | RolloutConfig | LabelsConfig | PairsConfig) for stage in recipe.stages
    )
    if "train" not in recipe.tasks and (learns or isinstance(recipe.model, ScratchModelConfig)):
        source.fault(("tasks",), "needs a split `train`: the problems that stages learn from.", key=True)
    check_names(recipe, source)
    for i, stage in enumerate(recipe.stages):
        if isinstance(stage, PpoConfig):
            _check_search(stage.search, ("stages", i, "search"), stage.judge, recipe, source)
            check_judge(stage.judge, ("stages", i, "judge"), recipe, source)
            check_reward(stage.reward, ("stages", i, "reward"), recipe, source)
            if stage.search.hints:
                text = "PPO needs the probability of every step from the chain alone, and hints do not stay in it."
                source.fault(("stages", i, "search"), f"{text} Use `prefix`, or collect with a `rollout` stage.")
            if stage.search.cuts_steps and set(kinds_of(stage.reward, recipe)) & set(TRAINED):
                text = "the reward model is trained at the ends of steps, and this search ends actions anywhere."
                source.fault(("stages", i, "reward"), f"{text} Reward with the verifier, or search by whole steps.")
            if stage.search.models:
                text = "PPO learns from its own policy's samples, so its search cannot use other stages' models."
                source.fault(("stages", i, "search"), f"{text} Leave them out, or collect with a `rollout` stage.")
        if isinstance(stage, EvaluateConfig):
            _check_evaluation(recipe, stage, i, source)
        if isinstance(stage, RolloutConfig):
            _check_rollout(recipe, stage, i, source)
        if isinstance(stage, LabelsConfig | PairsConfig):
            _check_labels(recipe, stage, ("stages", i), source)
        if isinstance(recipe.engine, HttpEngineConfig):
            _check_served(recipe, stage, i, source)


def check_names(recipe: Recipe, source: Source) -> None:
    """Adds a fault for each stage and split that is named and not there: nothing else of the stages is asked."""
    _check_stages(recipe, source)
    for i, stage in enumerate(recipe.stages):
        for path, split in _splits(stage):
            if split not in recipe.tasks:
                text = f"there is no split {split!r} in tasks.{suggestion(split, list(recipe.tasks))}"
                source.fault(("stages", i, *path), text)


def _splits(stage: Any) -> list[tuple[Path, str]]:
    """The splits that a stage names, each with its place in the stage."""
    match stage:
        case EvaluateConfig():
            return [(("splits", j), split) for j, split in enumerate(stage.splits)]
        case RolloutConfig():
            return [(("split",), stage.split)]
        case LabelsConfig() if isinstance(stage.source, SAMPLED):
            return [(("split",) if "split" in stage.model_fields_set else (), stage.split)]
    return []


def _check_model(recipe: Recipe, source: Source) -> None:
    model = recipe.model
    if not isinstance(model, ScratchModelConfig):
        return
    if model.hidden_size % (2 * model.num_heads):
        text = f"must be an even multiple of num_heads ({model.num_heads}), got {model.hidden_size}."
        source.fault(("model", "hidden_size"), text)
    if model.num_heads % model.num_kv_heads:
        divisors = [n for n in range(1, model.num_heads + 1) if model.num_heads % n == 0]
        choice = ", ".join(map(str, divisors))
        source.fault(("model", "num_kv_heads"), f"must divide num_heads ({model.num_heads}). Choose one of: {choice}.")


def _check_grading(recipe: Recipe, source: Source) -> None:
    """Programs as answers: they must be found whole, and end before the process that judges them is killed."""
    for split, section in recipe.tasks.items():
        for i, config in enumerate(section.sources):
            grader = getattr(config, "grader", None)
            if not isinstance(grader, PythonConfig):
                continue
            path = ("tasks", split, "sources", i, "grader")
            if recipe.grading.answer_rule not in ("code", "whole"):
                text = f"a program is not found by `grading.answer_rule: {recipe.grading.answer_rule}`."
                source.fault(path, f"{text} Use `code`, or `whole` where other answers are found by their graders.")
            if grader.timeout_s >= recipe.grading.timeout_s:
                text = f"must be below grading.timeout_s ({recipe.grading.timeout_s:g}), got {grader.timeout_s:g}."
                source.fault(
                    (*path, "timeout_s"), f"{text} Raise that, so that a slow program is wrong and no failure."
                )


def _check_stages(recipe: Recipe, source: Source) -> None:
    kinds: dict[str, str] = {}
    names = [stage.name for stage in recipe.stages]
    for i, stage in enumerate(recipe.stages):
        for reference in references(stage):
            _check_reference(reference, ("stages", i), stage.name, kinds, names, source)
        if stage.name in kinds:
            source.fault(("stages", i, "name"), f"{stage.name!r} is already the name of an earlier stage. Rename one.")
        if stage.name == OWN:
            text = f"{OWN!r} stands for the recipe's own model, so a stage cannot have this name. Rename it."
            source.fault(("stages", i, "name"), text)
        kinds[stage.name] = stage.stands_for or stage.kind


def _check_reference(
    reference: Reference, where: Path, stage: str, earlier: dict[str, str], names: list[str], source: Source
) -> None:
    path, name = (*where, *reference.path), reference.stage
    fitting = [*(known for known, kind in earlier.items() if kind in reference.kinds), *reference.others]
    if name == stage and name not in earlier:
        source.fault(path, f"a stage cannot refer to itself.{_choices(name, fitting, reference)}")
    elif name not in names:
        source.fault(path, f"there is no stage {name!r}.{_choices(name, fitting, reference)}")
    elif name not in earlier:
        source.fault(path, f"stage {name!r} comes later: stages run in order. Move it up, or refer to an earlier one.")
    elif earlier[name] not in reference.kinds:
        wanted = " or ".join(reference.kinds)
        text = f"stage {name!r} is of kind {earlier[name]}, {wanted} is needed."
        source.fault(path, text + _choices(name, fitting, reference))


def _choices(name: str, fitting: list[str], reference: Reference) -> str:
    if fitting:
        return suggestion(name, fitting)
    return f" Add a stage of kind {' or '.join(reference.kinds)} before this one."


def _check_search(search: SearchConfig, path: Path, judge: JudgeConfig | None, recipe: Recipe, source: Source) -> None:
    check_asked(search, path, judge, recipe, source)
    if search.judge == "judge" and judge is None:
        text = f"{search.kind} needs a reward that judges steps. Set `judge` in this stage to the name of a prm stage"
        source.fault(path, f"{text} or to a section{f', or {search.without_judge}' if search.without_judge else ''}.")
    listed = isinstance(search, BestOfNConfig) and search.diversity is not None and search.diversity.temperatures
    if listed and getattr(search, "temperature", 1.0) != 1.0:
        text = "`diversity.temperatures` says how samples are drawn, so this temperature would not count."
        source.fault((*path, "temperature"), f"{text} Leave one of them out.")


def _check_evaluation(recipe: Recipe, stage: EvaluateConfig, i: int, source: Source) -> None:
    check_judge(stage.judge, ("stages", i, "judge"), recipe, source)
    check_measured(stage, ("stages", i), recipe, source, lambda s: [r.stage for r in references(s)])
    _check_baseline(recipe, stage, i, source)
    for j, search in enumerate(stage.searches):
        path = ("stages", i, "searches", j)
        _check_search(search, path, stage.judge or stage.judge_folder, recipe, source)
        if search in stage.searches[:j]:
            source.fault(path, "the same search is listed twice. Remove one.")
        else:
            _check_names(stage, j, path, source)
        remedy = f"Use `{search.judge_key}: judge`, or list it in another evaluation."
        _check_value_head(search, path, stage.policies, recipe, remedy, source)
    _check_value_judge(stage.judge, ("stages", i, "judge"), stage.policies, recipe, source)


def _check_baseline(recipe: Recipe, stage: EvaluateConfig, i: int, source: Source) -> None:
    """The row that others are compared with must be in the table, and be a result."""
    base = stage.compare_to
    if base is None or stage.judge_folder is not None or kinds_of(stage.judge, recipe) not in ([], ["prm"]):
        return  # another judge's kind becomes part of what searches are called
    titles = [_names(search)[0] for search in stage.searches if not search.oracle]
    for key, name, known in (("policy", base.policy, stage.policies), ("search", base.search, titles)):
        if name is not None and name not in known:
            text = f"there is no {key} {name!r} in this evaluation that others could be compared with."
            source.fault(("stages", i, "compare_to", key), f"{text}{suggestion(name, known)}")


def _check_rollout(recipe: Recipe, stage: RolloutConfig, i: int, source: Source) -> None:
    path = ("stages", i, "search")
    _check_search(stage.search, path, stage.judge, recipe, source)
    check_judge(stage.judge, ("stages", i, "judge"), recipe, source)
    remedy = f"Use `{stage.search.judge_key}: judge`, or the policy of a ppo stage."
    _check_value_head(stage.search, path, [stage.policy], recipe, remedy, source)
    _check_value_judge(stage.judge, ("stages", i, "judge"), [stage.policy], recipe, source)
    split = recipe.tasks.get(stage.split)
    if split is not None and stage.num_problems is not None and stage.num_problems > split.num_problems:
        text = f"split {stage.split!r} has {split.num_problems} problems. Take at most so many, or make it larger."
        source.fault(("stages", i, "num_problems"), text)
    if isinstance(stage.search, GreedyConfig) and stage.samples > 1:
        text = "greedy finds the same chain every time. Use `samples: 1`, or another search."
        source.fault(("stages", i, "samples"), text)


def _source_kind(stage: Any) -> str | None:
    """The kind of a label stage's source."""
    return stage.source.kind if isinstance(stage, LabelsConfig) else None


def _check_labels(recipe: Recipe, stage: LabelsConfig | PairsConfig, path: Path, source: Source) -> None:
    """Labels and pairs need chains that were verified, and trees of steps with the tokens of one tokenizer."""
    other = next((s for s in recipe.stages if s.name == getattr(stage.source, "of", None)), None)
    if isinstance(other, RolloutConfig):
        _check_trees(other, stage, path, source)
    elif isinstance(stage.source, RevisionPairsConfig) and _source_kind(other) != "revision":
        text = "these chains are no revisions. Name a `labels` stage with `source: {kind: revision, ...}`."
        source.fault((*path, "source", "of"), text)
    elif isinstance(stage, PairsConfig) and stage.policy is not None:
        text = "`policy` is for pairs from a rollout stage; these chains have their tokens. Leave it out."
        source.fault((*path, "policy"), text)


def _check_trees(rollout: RolloutConfig, stage: LabelsConfig | PairsConfig, path: Path, source: Source) -> None:
    if stage.policy != rollout.policy:
        place = (*path, "policy") if stage.policy is not None else (*path, "source", "of")
        source.fault(place, f"{rollout.name!r} searched with {rollout.policy!r}. Set `policy: {rollout.policy}`.")
    if not rollout.verify:
        text = f"the chains of {rollout.name!r} were not verified. Set `verify: true` there."
        source.fault((*path, "source", "of"), text)
    if isinstance(rollout.search, SelfRefineConfig):
        text = f"the trees of {rollout.name!r} are of whole solutions, not of steps. Search by steps there."
        source.fault((*path, "source", "of"), text)


def _check_value_head(
    search: SearchConfig, path: Path, policies: list[str], recipe: Recipe, remedy: str, source: Source
) -> None:
    if search.judge == "value_head":
        _check_heads((*path, search.judge_key), policies, recipe, remedy, source)


def _check_value_judge(
    judge: JudgeConfig | None, path: Path, policies: list[str], recipe: Recipe, source: Source
) -> None:
    if "value_head" in kinds_of(judge, recipe):
        _check_heads(path, policies, recipe, "Use another kind, or the policy of a ppo stage.", source)


def _check_heads(path: Path, policies: list[str], recipe: Recipe, remedy: str, source: Source) -> None:
    kinds = {other.name: other.kind for other in recipe.stages} | {OWN: "model"}
    without = [name for name in policies if kinds.get(name, "ppo") != "ppo"]
    if without:
        other = "is none" if without[0] == OWN else f"is of kind {kinds[without[0]]}"
        text = f"only ppo stages have a value head, and {without[0]!r} {other}."
        source.fault(path, f"{text} {remedy}")


def _check_names(stage: EvaluateConfig, j: int, path: Path, source: Source) -> None:
    """Two searches must not have one name: their rows could not be told apart."""
    mine = _names(stage.searches[j])
    for n, other in enumerate(stage.searches[:j]):
        shared = [name for name in _names(other) if name in mine]
        if shared:
            text = f"it would be called {shared[0]!r} in tables, as searches[{n}] is, which differs from it."
            source.fault(path, f"{text} Move one of them to another evaluate stage.")
            return


def _names(search: SearchConfig) -> list[str]:
    """What the rows of a search are called."""
    return [f"{search.title}{' oracle' if search.oracle else ''}", *([search.bound] if search.bound else [])]


def _check_served(recipe: Recipe, stage: Any, i: int, source: Source) -> None:
    """What completions servers cannot do, whichever they are: they hold one model, without a head, as it was."""
    searches: list[tuple[Path, SearchConfig]] = []
    if isinstance(stage, EvaluateConfig):
        searches = [(("searches", j), search) for j, search in enumerate(stage.searches)]
        path = ("stages", i, "policies")
        if len(stage.policies) > 1:
            text = "an http engine serves one model, so it can evaluate one policy."
            source.fault(path, f"{text} Keep the one that is served, or use `engine: {{kind: torch}}`.")
        elif stage.policies == [OWN]:
            _check_own_served(recipe, (*path, 0), source)
    elif isinstance(stage, RolloutConfig):
        searches = [(("search",), stage.search)]
        if stage.policy == OWN:
            _check_own_served(recipe, ("stages", i, "policy"), source)
    elif isinstance(stage, PpoConfig):
        searches = [(("search",), stage.search)]
    elif isinstance(stage, LabelsConfig) and stage.policy == OWN:
        _check_own_served(recipe, ("stages", i, "policy"), source)
    for place, search in searches:
        if search.models:
            text = f"an http engine serves one model, and this search also uses {', '.join(search.models)}."
            source.fault(("stages", i, *place), f"{text} Leave them out, or use `engine: {{kind: torch}}`.")
        if search.judge == "value_head":
            text = "a completions server has no value head."
            text += f" Use `{search.judge_key}: judge`, or `engine: {{kind: torch}}`."
            source.fault(("stages", i, *place, search.judge_key), text)


def _check_own_served(recipe: Recipe, path: Path, source: Source) -> None:
    if getattr(recipe.model, "source", None) is None:
        sort = "from scratch" if isinstance(recipe.model, ScratchModelConfig) else f"of kind {recipe.model.kind}"
        text = f"a model {sort} exists in this process only. List the stage whose folder is served"
        source.fault(path, f"{text}, or use `engine: {{kind: torch}}`.")
