"""Names to implementations: built-ins here, others through entry points, each imported only when looked up."""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from o1kit.errors import EnvironmentFailure, RecipeError
from o1kit.nearest import nearest

BUILTIN: dict[str, dict[str, str]] = {
    "stages": {
        "sft": "o1kit.stages.sft.stage:SftStage",
        "labels": "o1kit.stages.labels.stage:LabelsStage",
        "pairs": "o1kit.stages.pairs.stage:PairsStage",
        "prm": "o1kit.stages.prm.stage:PrmStage",
        "dpo": "o1kit.stages.dpo.stage:DpoStage",
        "ppo": "o1kit.stages.ppo.stage:PpoStage",
        "rollout": "o1kit.stages.rollout.stage:RolloutStage",
        "evaluate": "o1kit.stages.evaluate.stage:EvaluateStage",
    },
    "searches": {
        "greedy": "o1kit.search.sample:Greedy",
        "sample": "o1kit.search.sample:Sample",
        "best_of_n": "o1kit.search.best_of_n.search:BestOfN",
        "beam": "o1kit.search.beam:Beam",
        "mcts": "o1kit.search.mcts.search:Mcts",
        "self_refine": "o1kit.search.self_refine.search:SelfRefine",
        "cfr": "o1kit.search.cfr.search:CfrSearch",
    },
    "tasks": {
        "reasoning_gym": "o1kit.tasks.gym:ReasoningGymSource",
        "jsonl": "o1kit.tasks.jsonl:JsonlSource",
    },
    "graders": {
        "exact": "o1kit.tasks.graders.exact:ExactGrader",
        "numeric": "o1kit.tasks.graders.numeric:NumericGrader",
        "math": "o1kit.tasks.graders.mathematics:MathGrader",
        "python": "o1kit.tasks.graders.python:PythonGrader",
    },
    "teachers": {
        "letter_counting": "o1kit.tasks.teachers.letter_counting:LetterCountingTeacher",
        "chain_sum": "o1kit.tasks.teachers.chain_sum:ChainSumTeacher",
        "spell_backward": "o1kit.tasks.teachers.spell_backward:SpellBackwardTeacher",
    },
}


def _plugins(group: str) -> dict[str, EntryPoint]:
    return {e.name: e for e in entry_points(group=f"o1kit.{group}")}


def names(group: str) -> list[str]:
    """All kinds of a group, built-in and installed, sorted."""
    return sorted({*BUILTIN.get(group, {}), *_plugins(group)})


def origin(group: str, name: str) -> str:
    """Where a kind comes from: `built-in`, or the installed package."""
    if name in BUILTIN.get(group, {}):
        return "built-in"
    entry = _plugins(group)[name]
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value


def suggestion(word: str, choices: list[str]) -> str:
    """` Did you mean 'x'?` for the nearest choice, or the list of choices when nothing is near."""
    near = nearest(word, choices)
    return f" Did you mean {near!r}?" if near is not None else f" Choose one of: {', '.join(choices)}."


def lookup(group: str, kind: str) -> Any:
    """The implementation registered under a kind.

    Raises:
        RecipeError: nothing has that name.
        EnvironmentFailure: it is registered but cannot be imported.
    """
    target = BUILTIN.get(group, {}).get(kind)
    try:
        if target is not None:
            module, _, attribute = target.partition(":")
            return getattr(importlib.import_module(module), attribute)
        plugin = _plugins(group).get(kind)
        if plugin is not None:
            return plugin.load()
    except ImportError as error:
        raise EnvironmentFailure(
            f"{group} kind {kind!r} cannot be imported: {error}. Install what it needs."
        ) from error
    raise RecipeError(f"unknown {group} kind {kind!r}.{suggestion(kind, names(group))}")
