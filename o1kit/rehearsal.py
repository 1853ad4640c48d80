"""`rehearse`: all that can be checked of a run without doing any of it: nothing is written, trained or asked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o1kit import registry
from o1kit.config import public
from o1kit.control.find import is_run
from o1kit.control.lock import busy
from o1kit.control.state import look
from o1kit.errors import DataError, EnvironmentFailure, O1kitError, RecipeError, ResourceError
from o1kit.identity import Identities
from o1kit.kinds import used
from o1kit.models.config import HttpEngineConfig, ServersConfig
from o1kit.outlook import WORK, Row, outlook
from o1kit.recipe.judges import judge_servers
from o1kit.runner import NEEDED_MB
from o1kit.sharing.inputs import plugin_versions
from o1kit.tasks.suite import build_suite

if TYPE_CHECKING:
    from o1kit.plan import Plan

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
        sources = list(_sources(plan.recipe, base))
        problems += [*(sources or _enough(plan.recipe, base)), *_model(plan.recipe), *_engine(plan.recipe)]
        for stage in working:
            problems += _files(identities, stage)
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


def _sources(recipe: Any, base: Path) -> Iterator[O1kitError]:
    """Every source of problems: its file is there, its rows and options can be used."""
    for split, config in recipe.tasks.items():
        for i, section in enumerate(config.sources):
            try:
                registry.lookup("tasks", section.kind)(section, base).check()
            except O1kitError as error:
                yield type(error)(f"tasks.{split}.sources[{i}]: {error}")


def _enough(recipe: Any, base: Path) -> Iterator[O1kitError]:
    """Splits that are read from files find as many different problems as they should hold; generators take too long."""
    if all(section.kind == "jsonl" for split in recipe.tasks.values() for section in split.sources):
        suite = build_suite(recipe.tasks, recipe.seed, base)
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
            yield DataError(f"stage {stage.name!r}: {file}: there is no such file. Check the path.")
    judge = getattr(stage.config, "judge_folder", None)
    if judge is not None and not (identities.recipe_directory / judge).is_dir():
        folder = identities.recipe_directory / judge
        yield DataError(f"stage {stage.name!r}: {folder}: there is no such folder. Check `judge_folder`.")


def _model(recipe: Any) -> Iterator[O1kitError]:
    """A model's folder, or its place in the cache of downloads; with servers only the tokenizer is needed."""
    source = getattr(recipe.model, "source", None)
    if source is None:
        return
    weights = not isinstance(recipe.engine, HttpEngineConfig)
    folder = Path(source)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            yield EnvironmentFailure(f"model.source: {folder}: holds no config.json. Name a Hugging Face folder.")
        elif weights and not any(next(folder.glob(pattern), None) for pattern in WEIGHTS):
            yield EnvironmentFailure(f"model.source: {folder}: holds no weights ({', '.join(WEIGHTS)}).")
        return
    if folder.is_absolute() or source.startswith(".") or source.count("/") != 1:
        yield EnvironmentFailure(f"model.source: {source}: there is no such folder. Check the path.")
        return
    from huggingface_hub import try_to_load_from_cache

    if os.environ.get("HF_HUB_OFFLINE") == "1" and not isinstance(try_to_load_from_cache(source, "config.json"), str):
        yield EnvironmentFailure(
            f"model.source: {source}: is no folder here and was never downloaded. "
            f"Download it once: HF_HUB_OFFLINE=0 hf download {source}"
        )


def _engine(recipe: Any) -> Iterator[O1kitError]:
    for place, servers in _servers(recipe):
        name = servers.api_key_env
        if name is not None and not os.environ.get(name):
            yield EnvironmentFailure(f"{place}.api_key_env: {name} is not set. Set it: export {name}=...")


def _servers(recipe: Any) -> Iterator[tuple[str, ServersConfig]]:
    """The policy's servers and those of judges, with their places."""
    if isinstance(recipe.engine, HttpEngineConfig):
        yield "engine", recipe.engine
    for path, servers in judge_servers(recipe):
        yield "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:], servers


def _notes(plan: Plan) -> Iterator[str]:
    recipe: Any = plan.recipe
    for name, version in plugin_versions(recipe).items():
        yield f"plugin: {name} {version}"
    urls = [url for _, servers in _servers(recipe) for url in public(servers)["endpoints"]]
    if urls:
        yield f"servers, not contacted: {', '.join(dict.fromkeys(urls))}"
    if recipe.tracking.wandb.mode == "online":
        yield f"metrics go to Weights & Biases over the network, project {recipe.tracking.wandb.project}"
