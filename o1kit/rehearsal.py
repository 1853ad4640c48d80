"""`rehearse`: all that can be checked of a run without doing any of it: nothing is written, trained or asked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o1kit import beforehand
from o1kit.config import public
from o1kit.control.find import is_run
from o1kit.control.lock import busy
from o1kit.control.state import look
from o1kit.errors import DataError, EnvironmentFailure, O1kitError, RecipeError, ResourceError
from o1kit.identity import Identities
from o1kit.kinds import used
from o1kit.models.config import HttpEngineConfig, LoraConfig, ServersConfig
from o1kit.outlook import WORK, Row, outlook
from o1kit.planning.weights import Weights, weights_of
from o1kit.recipe.judges import judge_servers
from o1kit.registry import suggestion
from o1kit.runner import NEEDED_MB
from o1kit.sharing.inputs import plugin_versions
from o1kit.tasks.suite import build_suite

if TYPE_CHECKING:
    from o1kit.plan import Plan
    from o1kit.recipe.schema import Recipe
    from o1kit.tasks.suite import Suite

WEIGHTS = ("*.safetensors", "*.gguf", "*.bin")


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a run would do, what would stop it, and what else is worth knowing."""

    rows: tuple[Row, ...]
    problems: tuple[O1kitError, ...]
    notes: tuple[str, ...]


def rehearse(plan: Plan, recipe_directory: Path, directory: Path, chosen: Sequence[str]) -> Rehearsal:
    """Checks a run of the chosen stages in a folder that need not exist."""
    base = recipe_directory.resolve()
    identities = Identities(plan, base)
    rows = tuple(outlook(identities, directory, chosen, verify=True))
    working = [stage for stage, row in zip(plan.stages, rows, strict=True) if row.action in WORK]
    problems: list[O1kitError] = [
        RecipeError(f"stage {row.stage!r}: {row.note}. Select them too.") for row in rows if row.action == "cannot run"
    ]
    problems += _room(directory)
    if working:
        suite = build_suite(plan.recipe.tasks, plan.recipe.seed, base)
        sources = [error.at(plan.recipe.where(*path)) for path, error in suite.faults()]
        problems += [*(sources or _enough(plan.recipe, suite)), *_unusable(plan.recipe)]
        for stage in working:
            where = plan.recipe.where("stages", plan.stages.index(stage))
            problems += [error.at(where) for error in _files(identities, stage)]
        problems += _adapters(plan, working)
        problems += beforehand.faults(plan, working, suite, base)
    return Rehearsal(rows, tuple(problems), tuple(_notes(plan)))


def _room(directory: Path) -> Iterator[O1kitError]:
    """The run's folder: can be written to, has room, and nobody works in it."""
    place = next(p for p in (directory.absolute(), *directory.absolute().parents) if os.path.lexists(p))
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        yield EnvironmentFailure(f"{place}: cannot be written to. Choose a folder with --runs-dir.")
        return
    free = shutil.disk_usage(place).free // 2**20
    if free < NEEDED_MB:
        yield ResourceError(f"{place}: {free} MiB free on this disk, {NEEDED_MB} MiB needed. Free some space.")
    if is_run(directory) and look(directory).state == "running":
        yield busy(directory)


def _enough(recipe: Recipe, suite: Suite) -> Iterator[O1kitError]:
    """Splits that are read from files find as many different problems as they should hold; generators take too long."""
    if all(section.kind == "jsonl" for split in recipe.tasks.values() for section in split.sources):
        try:
            for split in recipe.tasks:
                suite.problems(split)
        except O1kitError as error:
            yield error


def _files(identities: Identities, stage: Any) -> Iterator[O1kitError]:
    """The files and folders from outside that a stage reads."""
    for path in identities.files(stage):
        file = identities.recipe_directory / path
        if not (file.is_file() or (used(stage.config) and file.is_dir())):  # a plugin may read a folder
            yield DataError(f"{file}: there is no such file. Check the path.")


def _adapters(plan: Plan, working: Sequence[Any]) -> Iterator[O1kitError]:
    """Adapters that the model has no layers for, as far as the headers of its files tell; no weights are read."""
    adapted = [stage for stage in working if isinstance(getattr(stage.config, "lora", None), LoraConfig)]
    weights = weights_of(plan.recipe) if adapted else None
    if not isinstance(weights, Weights):
        return
    names = weights.linear
    for stage in adapted:
        targets = stage.config.lora.targets
        if not weights.adapted(stage.config.lora) and "lm_head" not in targets:
            near = suggestion(targets[0], names) if names else ""
            where = plan.recipe.where("stages", plan.stages.index(stage), "lora", "targets")
            yield RecipeError(f"the model has no linear layer {' or '.join(map(repr, targets))}.{near}").at(where)


def _unusable(recipe: Recipe) -> Iterator[O1kitError]:
    """The model if it is not there, and servers whose key is not set."""
    source = getattr(recipe.model, "source", None)
    if source is not None:
        wrong = _model(source, weights=not isinstance(recipe.engine, HttpEngineConfig))
        if wrong is not None:
            yield EnvironmentFailure(wrong).at(recipe.where("model", "source"))
    for path, servers in _servers(recipe):
        name = servers.api_key_env
        if name is not None and not os.environ.get(name):
            where = recipe.where(*path, "api_key_env")
            yield EnvironmentFailure(f"{name} is not set. Set it: export {name}=...").at(where)


def _model(source: str, *, weights: bool) -> str | None:
    """What is wrong with a model's folder, or its place in the cache; with servers only the tokenizer is needed."""
    folder = Path(source)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            return f"{folder}: holds no config.json. Name a Hugging Face folder."
        if weights and not any(next(folder.glob(pattern), None) for pattern in WEIGHTS):
            return f"{folder}: holds no weights ({', '.join(WEIGHTS)})."
        return None
    if folder.is_absolute() or source.startswith(".") or source.count("/") != 1:
        return f"{source}: there is no such folder. Check the path."
    from huggingface_hub import try_to_load_from_cache

    if os.environ.get("HF_HUB_OFFLINE") == "1" and not isinstance(try_to_load_from_cache(source, "config.json"), str):
        how = f"Download it once: HF_HUB_OFFLINE=0 hf download {source}"
        return f"{source}: is no folder here and was never downloaded. {how}"
    return None


def _servers(recipe: Recipe) -> Iterator[tuple[tuple[str | int, ...], ServersConfig]]:
    """The policy's servers and those of judges, with their paths."""
    if isinstance(recipe.engine, HttpEngineConfig):
        yield ("engine",), recipe.engine
    yield from judge_servers(recipe)


def _notes(plan: Plan) -> Iterator[str]:
    recipe: Any = plan.recipe
    for name, version in plugin_versions(recipe).items():
        yield f"plugin: {name} {version}"
    urls = [url for _, servers in _servers(recipe) for url in public(servers)["endpoints"]]
    if urls:
        yield f"servers, not contacted: {', '.join(dict.fromkeys(urls))}"
    if recipe.tracking.wandb.mode == "online":
        yield f"metrics go to Weights & Biases over the network, project {recipe.tracking.wandb.project}"
