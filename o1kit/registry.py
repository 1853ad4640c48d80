"""Names to implementations: built-ins here, others through entry points, each imported only when looked up."""

from __future__ import annotations

import importlib
import sys
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from o1kit.errors import EnvironmentFailure, RecipeError
from o1kit.nearest import nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from o1kit.config import Config
    from o1kit.plugin import Plugin

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
    "rewards": {
        "verifier": "o1kit.rewards.build:verifier",
        "prm": "o1kit.rewards.build:trained",
        "orm": "o1kit.rewards.build:trained",
        "pairwise": "o1kit.rewards.build:trained",
        "confidence": "o1kit.rewards.build:confidence",
        "value_head": "o1kit.rewards.build:value_head",
        "likelihood": "o1kit.rewards.build:likelihood",
        "calculator": "o1kit.rewards.build:calculator",
        "self_score": "o1kit.rewards.build:self_score",
        "judge": "o1kit.rewards.build:rubric",
        "constitution": "o1kit.rewards.build:constitution",
        "mixture": "o1kit.rewards.build:mixture",
    },
    "models": {
        "scratch": "o1kit.stages.start:scratch_model",
        "hf": "o1kit.stages.start:hf_model",
    },
    "engines": {
        "torch": "o1kit.stages.searching:torch_engine",
        "http": "o1kit.engines.http:HttpEngine",
    },
    "exporters": {
        "hf": "o1kit.export.hf:HfExporter",
    },
    "teachers": {
        "letter_counting": "o1kit.tasks.teachers.letter_counting:LetterCountingTeacher",
        "chain_sum": "o1kit.tasks.teachers.chain_sum:ChainSumTeacher",
        "spell_backward": "o1kit.tasks.teachers.spell_backward:SpellBackwardTeacher",
        "countdown": "o1kit.tasks.teachers.countdown:CountdownTeacher",
    },
}
"""By group and kind, what makes it: `module:name`."""

COMMANDS = "commands"
"""The group of commands: entry points are a `typer.Typer` or a function, no kinds of a recipe."""
GROUPS = (
    "stages", "searches", "rewards", "tasks", "graders", "teachers", "models", "engines", "trackers", "exporters",
    COMMANDS,
)  # fmt: skip
"""What can be added to, each under the entry-point group `o1kit.<name>`."""
SECTIONS = {
    "stages": "o1kit.stages.config:StageConfig",
    "searches": "o1kit.search.section:SearchSection",
    "rewards": "o1kit.rewards.config:RewardSection",
    "tasks": "o1kit.tasks.config:SourceSection",
    "graders": "o1kit.config:Config",
    "models": "o1kit.config:Config",
    "engines": "o1kit.config:Config",
    "trackers": "o1kit.tracking.config:TrackerSection",
    "exporters": "o1kit.export.config:ExporterSection",
}
"""By group, what the sections of its plugins must be subclasses of."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A kind that an installed package registers. Known from metadata: nothing of it is imported."""

    group: str
    kind: str
    distribution: str
    version: str
    entry: EntryPoint

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def shadowed(self) -> bool:
        """True where a built-in kind has the name: that one is used."""
        return self.kind in BUILTIN.get(self.group, {})


def installed(group: str) -> list[Installed]:
    """All that installed packages register in a group, shadowed and clashing ones too, sorted."""
    return list(_scan(group, tuple(sys.path)))


def builtin(group: str, kind: str) -> bool:
    """True for a kind that o1kit has itself: what is installed need not be looked at."""
    return kind in BUILTIN.get(group, {})


def plugins(group: str) -> dict[str, list[Installed]]:
    """The kinds that installed packages add to a group; more than one package where they clash."""
    found: dict[str, list[Installed]] = {}
    for plugin in installed(group):
        if not plugin.shadowed:
            found.setdefault(plugin.kind, []).append(plugin)
    return found


def names(group: str) -> list[str]:
    """All kinds of a group, built-in and installed, sorted."""
    return sorted({*BUILTIN.get(group, {}), *plugins(group)})


def origin(group: str, name: str) -> str:
    """Where a kind comes from: `built-in`, or the installed package."""
    if name in BUILTIN.get(group, {}):
        return "built-in"
    return " and ".join(map(str, plugins(group)[name]))


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
    if target is not None:
        try:
            return _attribute(target)
        except ImportError as error:
            text = f"{group} kind {kind!r} cannot be imported: {error}. Install what it needs."
            raise EnvironmentFailure(text) from error
    plugin = load(group, kind)
    if not isinstance(plugin.factory, str):
        return plugin.factory
    found = plugins(group)[kind][0]
    try:
        with _quiet():
            return _attribute(plugin.factory)
    except (Exception, SystemExit) as error:  # another package's code: anything can happen
        raise _broken(found, f"its factory {plugin.factory!r} cannot be imported: {_told(error)}") from error


def load(group: str, kind: str) -> Plugin:
    """The plugin that an installed package registers under a kind: imported, and found to be one.

    Raises:
        RecipeError: nothing has that name.
        EnvironmentFailure: it cannot be imported, is no plugin of this API, or two packages have the name.
    """
    from o1kit.plugin import unusable

    found = plugins(group).get(kind, [])
    if not found:
        raise RecipeError(f"unknown {group} kind {kind!r}.{suggestion(kind, names(group))}")
    if len(found) > 1:
        packages = " and ".join(map(str, found))
        raise EnvironmentFailure(f"{packages} both register {kind!r} in o1kit.{group}. Uninstall one of them.")
    plugin = import_plugin(found[0])
    reason = unusable(plugin, kind, section_base(group))
    if reason:
        raise _broken(found[0], reason)
    checked: Plugin = plugin
    if checked.config is not None:
        _LOADED[checked.config] = found[0]
    return checked


def import_plugin(found: Installed) -> Any:
    """What an entry point stands for, whatever it is.

    Raises:
        EnvironmentFailure: it cannot be imported.
    """
    try:
        with _quiet():
            return found.entry.load()
    except (Exception, SystemExit) as error:  # another package's code: anything can happen
        raise _broken(found, f"it cannot be imported: {_told(error)}") from error


def section_base(group: str) -> type[Config] | None:
    """What the sections of a group's plugins must be subclasses of; None for a group without sections."""
    target = SECTIONS.get(group)
    base: type[Config] | None = _attribute(target) if target is not None else None
    return base


def provider(section: type) -> Installed | None:
    """The installed package that a section's class came from; None for built-in ones."""
    return _LOADED.get(section)


_LOADED: dict[type, Installed] = {}


@cache
def _scan(group: str, path: tuple[str, ...]) -> tuple[Installed, ...]:
    """What is registered in a group, read once for each `sys.path`."""
    from importlib.metadata import entry_points  # takes a while: recipes of built-in kinds do without it

    found = [
        Installed(group, entry.name, entry.dist.name, entry.dist.version, entry)
        for entry in entry_points(group=f"o1kit.{group}")
        if entry.dist is not None
    ]
    return tuple(sorted(found, key=lambda one: (one.kind, one.distribution)))


def _quiet() -> AbstractContextManager[object]:
    """While a plugin is imported, what it prints goes to standard error: what a command prints may be read by one."""
    return redirect_stdout(sys.stderr)


def _attribute(target: str) -> Any:
    module, _, name = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _broken(found: Installed, reason: str) -> EnvironmentFailure:
    name = found.distribution
    return EnvironmentFailure(
        f"the plugin {found.kind!r} of {found} cannot be used: {reason}. "
        f"Try `pip install --upgrade {name}`, or uninstall it; `o1kit plugins check {found.kind}` tells when it works."
    )


def _told(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": .")
