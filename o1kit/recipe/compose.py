"""A recipe that evaluates one model, from the words of a command line."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from o1kit.config import public
from o1kit.errors import RecipeError
from o1kit.recipe.loader import load_recipe
from o1kit.recipe.source import parse
from o1kit.stages.evaluate.config import OWN
from o1kit.tasks.config import JsonlConfig
from o1kit.tasks.jsonl import JsonlSource

NUM_PROBLEMS = 100
"""Problems of a generator, where nothing else is said."""
LONE = {"sample": "num_samples", "best_of_n": "num_samples", "mcts": "num_simulations", "beam": "num_beams"}
"""What a lone number after the kind of a search means: `sample:8`."""
TRAIN = "train"
RECIPES = (".yaml", ".yml")
_PAIR = re.compile(r"^[A-Za-z_][A-Za-z0-9_.]*=")


class Wanted(NamedTuple):
    """What is to be evaluated, as it is written on the command line."""

    model: str
    tasks: Sequence[str]
    searches: Sequence[str] = ("greedy",)
    num_problems: int | None = None
    judge: str | None = None
    seeds: int = 1
    seed: int = 0
    engine: Sequence[str] = ()
    name: str = "eval"
    known: Path | None = None
    """File of further problems that the model has learned from."""


def compose(wanted: Wanted) -> dict[str, Any]:
    """The recipe as plain data, every path absolute; not validated yet.

    Raises:
        RecipeError: a word cannot be understood.
        DataError: a file of problems cannot be read.
    """
    splits: dict[str, Any] = {}
    grading: dict[str, Any] = {}
    evaluated: list[str] = []
    for text in wanted.tasks:
        path = Path(text.partition(":")[0])
        if path.suffix in RECIPES:
            grading |= public(load_recipe(path).grading, exclude_defaults=True)
        for name, split, measured in _splits(text, wanted.num_problems):
            if name in splits and splits[name] != split:
                raise RecipeError(f"--tasks {text}: there is already a split {name!r}. Evaluate them one by one.")
            splits[name] = split
            evaluated += [name] if measured and name not in evaluated else []
    stage: dict[str, Any] = {
        "kind": "evaluate",
        "name": "evaluate",
        "policies": [OWN],
        "splits": evaluated,
        "searches": [search(text) for text in wanted.searches],
        "seeds": wanted.seeds,
    }
    if wanted.judge is not None:
        stage["judge_folder"] = str(Path(wanted.judge).resolve())
    if wanted.known is not None:
        stage["overlap"] = {"known": str(wanted.known.resolve())}
    found = Path(wanted.model)
    return {
        "o1kit": 1,
        "name": wanted.name,
        "seed": wanted.seed,
        "model": {"kind": "hf", "source": str(found.resolve()) if found.exists() else wanted.model},
        "tasks": splits,
        **({"grading": grading} if grading else {}),
        **({"engine": _options(wanted.engine, "--engine")} if wanted.engine else {}),
        "stages": [stage],
        "tracking": {"wandb": {"mode": "disabled"}},
    }


def text_of(recipe: dict[str, Any]) -> str:
    """The recipe as YAML that reads back as the same."""
    stream = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.dump(recipe, stream)
    text = stream.getvalue()
    return text if parse(text, "").data == recipe else json.dumps(recipe, indent=2)


def search(text: str) -> dict[str, Any]:
    """The section of a search written as `kind`, `kind:number` or `kind:key=value,key=value`.

    Raises:
        RecipeError: it is written otherwise.
    """
    kind, _, rest = text.partition(":")
    if rest.isdigit():
        if kind not in LONE:
            known = ", ".join(f"{k}:N" for k in LONE)
            raise RecipeError(f"--search {text}: a lone number is known for {known}. Write KIND:KEY=VALUE,...")
        return {"kind": kind, LONE[kind]: int(rest)}
    return {"kind": kind, **_options(_parts(rest), f"--search {text}")}


def _splits(text: str, count: int | None) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Name and section of each split that the words name, and whether it is evaluated."""
    name, _, rest = text.partition(":")
    path = Path(name)
    if path.suffix in RECIPES:
        yield from _recipe_splits(path, [part for part in rest.split(",") if part], count)
    elif path.suffix in (".jsonl", ".json"):
        source = {"kind": "jsonl", "path": str(path.resolve()), **_options(_parts(rest), f"--tasks {text}")}
        rows = JsonlSource(JsonlConfig.model_validate(source), Path()).generate(0, 2**62)
        different = len({problem.prompt for problem, _ in rows})
        split = {"num_problems": min(count or different, different), "sources": [source]}
        yield path.stem if path.stem != TRAIN else "problems", split, True
    else:
        source = {"kind": "reasoning_gym", "generator": name, "params": _options(_parts(rest), f"--tasks {text}")}
        yield name, {"num_problems": count or NUM_PROBLEMS, "sources": [source]}, True


def _recipe_splits(path: Path, chosen: list[str], count: int | None) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """The splits of a recipe: those that are evaluated, and `train`, which they are compared with."""
    recipe = load_recipe(path)
    names = chosen or [name for name in recipe.tasks if name != TRAIN]
    for name in names:
        if name not in recipe.tasks:
            raise RecipeError(f"--tasks {path}: has no split {name!r}. It has: {', '.join(recipe.tasks)}.")
    if count is not None and TRAIN in names and names != [TRAIN]:
        text = "--num-problems would leave out training problems, which the other splits are compared with."
        raise RecipeError(f"--tasks {path}: {text} Evaluate {TRAIN!r} on its own.")
    for name, split in recipe.tasks.items():
        data = public(split, exclude_defaults=True)
        for source, meant in zip(data["sources"], split.sources, strict=True):
            if isinstance(meant, JsonlConfig) and not Path(meant.path).is_absolute():
                source["path"] = os.path.normpath(f"{path.parent.resolve()}/{source['path']}")
        if name in names and count is not None:
            data["num_problems"] = min(count, split.num_problems)
        yield name, data, name in names


def _parts(text: str) -> list[str]:
    """The text cut at commas that are followed by `key=`: others belong to values."""
    parts: list[str] = []
    for piece in text.split(",") if text else []:
        if parts and not _PAIR.match(piece):
            parts[-1] += f",{piece}"
        else:
            parts.append(piece)
    return parts


def _options(parts: Sequence[str], where: str) -> dict[str, Any]:
    """`key=value` texts as data; keys with points make sections, values are read as in YAML."""
    found: dict[str, Any] = {}
    for part in parts:
        key, equals, text = part.partition("=")
        value = parse(text, where) if text.strip() else None
        if not equals or not key or (value is not None and value.faults):
            raise RecipeError(f"{where}: {part!r} is not KEY=VALUE. Write, for example, num_samples=8.")
        *path, last = key.split(".")
        section = found
        for name in path:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise RecipeError(f"{where}: {name!r} holds a value, so {key!r} cannot be set in it.")
        section[last] = value.data if value is not None else None
    return found
