"""A recipe with as little as possible put in place of what is wrong with it, and the rules that still hold of it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from o1kit.functional.ancestry import ancestors
from o1kit.recipe.explain import at, written_path
from o1kit.recipe.references import references
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import Fault, Path
from o1kit.stages.evaluate.config import OWN

UNKNOWN_KEY = "unknown key"
STAGES, TASKS, GRADING = "stages", "tasks", "grading"
ROUNDS = 24
"""Most times that a recipe is validated: each time what is wrong is taken out one level higher."""
STANDS_FOR: dict[str, Any] = {"o1kit": 1, "name": "name", "model": {"kind": "hf", "source": "model"}}
"""What is put in place of a part that is wrong and has no default: no rule has anything against it."""
SERVED: dict[str, Any] = {"kind": "http", "endpoints": ["http://localhost:1/v1"]}
SPLIT: dict[str, Any] = {"num_problems": 10**9, "sources": [{"kind": "jsonl", "path": "problems.jsonl"}]}
IN_STAGES: dict[str, Any] = {"policy": OWN, "policies": [OWN], "searches": [{"kind": "greedy"}]}
"""The same for what a stage must have."""
IN_KINDS: dict[tuple[str, str], dict[str, Any]] = {
    ("prm", "labels"): {"kind": "monte_carlo"},
    ("labels", "source"): {"kind": "monte_carlo"},
    ("pairs", "source"): {"kind": "outcomes", "of": OWN},
    ("dpo", "pairs"): {"kind": "file", "path": "pairs.jsonl"},
    ("rollout", "search"): {"kind": "greedy"},
}
"""The same for what a stage of one kind must have."""
LONE: dict[str, Any] = {"kind": "evaluate", "name": "evaluate", "splits": [], **IN_STAGES}
"""What stands for the stages where none is left; nothing is told of it."""
LONE.pop("policy")
READ = {"kind", "name", "policy", "policies", "reference", "judge", "judge_folder", "reward", "search", "searches"}
READ |= {"split", "splits", "num_problems", "samples", "labels", "source", "pairs", "objective", "compare_to", "verify"}
"""The keys of a stage that rules between the parts of a recipe read; those of stages of packages may be any."""


def stage_name(stage: Any) -> str | None:
    """A stage's name; None where there is none, or something that cannot be one."""
    name = stage.get("name") if isinstance(stage, dict) else None
    return name if isinstance(name, str) else None


def starts(path: Path, start: Path) -> bool:
    """True if a path is another one, or lies in it."""
    return path[: len(start)] == start


class Mended:
    """The data of a recipe without what is wrong with it."""

    def __init__(self, data: Any) -> None:
        self.data: dict[str, Any] = data if isinstance(data, dict) else {}
        self.paths: set[Path] = set()
        """What has been put right: nobody knows what will stand there."""
        self.broken: set[int] = set()
        """Positions of the stages of which too little is left."""
        stages = self.data.get(STAGES)
        if not isinstance(stages, list):
            self.data[STAGES] = []
        self.names = [stage_name(stage) for stage in self.data[STAGES]]
        """The names of the stages as they are written."""
        self._stands: set[Path] = set()
        self._lost = False

    def put_right(self, fault: Fault, path: Path) -> None:
        """Takes a fault out of the data."""
        if any(starts(path, mended) for mended in self.paths):
            return
        section = at(self.data, path[:-1], None) if path else None
        if isinstance(section, dict) and path[-1] in section and fault.message.startswith(UNKNOWN_KEY):
            value = section.pop(path[-1])
            if fault.suggestion is not None and "." not in fault.suggestion:
                section.setdefault(fault.suggestion, value)
        elif len(path) > 1 and path[0] == STAGES and isinstance(path[1], str):
            if fault.suggestion in self.names:  # a stage of a name that none has is probably this one
                self.broken.add(self.names.index(fault.suggestion))
        elif path and path != (STAGES,):
            missing = at(self.data, path, at) is at
            if not missing or at(self.data, path[:-1], at) is not at:
                self._back(path)

    def recipe(self) -> tuple[Recipe, list[int]] | None:
        """What is left as a valid recipe, and the positions of the stages in it; None if too little is."""
        for _ in range(ROUNDS):
            stages = self.data[STAGES]
            kept = [i for i in range(len(stages)) if i not in self.broken]
            data = {**self.data, STAGES: [stages[i] for i in kept] or [deepcopy(LONE)]}
            try:
                return Recipe.model_validate(data), kept
            except ValidationError as error:
                for item in error.errors(include_url=False):
                    path = written_path(item["loc"], data)
                    inside = len(path) > 1 and path[0] == STAGES and isinstance(path[1], int) and path[1] < len(kept)
                    self._back((STAGES, kept[int(path[1])], *path[2:]) if inside else path)
            if self._lost:
                return None
        return None

    def _back(self, path: Path) -> None:
        """Puts a value back to its default; one that has none to what stands for it, or else what it is in."""
        self.paths.add(path)
        if len(path) < 2 or path[0] not in (STAGES, TASKS):
            self._part(path)
        elif len(path) == 2:
            self._stage(path[1]) if path[0] == STAGES else self._stand(path, SPLIT)
        elif path[0] == TASKS and self._split(path):
            return
        elif not self._without(path):
            default = self._default(path)
            if default is None or path in self._stands:
                self._back(path[:-1])
            else:
                self._stand(path, default)

    def _without(self, path: Path) -> bool:
        """Takes out a value; True if there was one, that is no entry of a list."""
        section = at(self.data, path[:-1], None)
        if not isinstance(section, dict) or path[-1] not in section:
            return False
        del section[path[-1]]
        return True

    def _default(self, path: Path) -> Any:
        """What stands for a value of a stage that cannot be left out."""
        if path[0] != STAGES:
            return None
        if len(path) == 3:
            kind = at(self.data, (*path[:2], "kind"), None)
            return IN_KINDS.get((str(kind), str(path[2])), IN_STAGES.get(str(path[2])))
        if len(path) == 4 and path[2] == "splits":
            splits = self.data.get(TASKS)
            return next(iter(splits), None) if isinstance(splits, dict) else None
        return IN_STAGES[str(path[2])][0] if len(path) == 4 and path[2] in ("policies", "searches") else None

    def _stand(self, path: Path, value: Any) -> None:
        """Puts a value in place of another."""
        section: Any = at(self.data, path[:-1], None)
        last = path[-1]
        self._stands.add(path)
        entry = isinstance(section, list) and isinstance(last, int) and last < len(section)
        if entry or isinstance(section, dict):
            section[last] = deepcopy(value)
        else:
            self._lost = True

    def _stage(self, position: str | int) -> None:
        if isinstance(position, int):
            self.broken.add(position)

    def _split(self, path: Path) -> bool:
        """Puts right what lies in a split; False for what has a default."""
        if len(path) == 3 and path[2] in SPLIT:
            if not isinstance(at(self.data, path[:2], None), dict):
                self._back(path[:2])
            else:
                self._stand(path, SPLIT[str(path[2])])
        elif len(path) == 4 and path[2] == "sources":
            self._stand(path, SPLIT["sources"][0])
        elif len(path) > 5 and path[4] == "params" and isinstance(at(self.data, path[:5], None), dict):
            at(self.data, path[:5], {})[path[5]] = None  # no rule compares it then
        else:
            return False
        return True

    def _part(self, path: Path) -> None:
        """Puts right what lies outside of stages and splits."""
        if path == (TASKS,):
            self.data[TASKS] = {"train": deepcopy(SPLIT)}
        elif not path or path[0] == STAGES:
            self._lost = True
        elif len(path) > 1 and not self._without(path):
            self._back(path[:-1])
        elif len(path) == 1:
            written = self.data.pop(str(path[0]), None)
            if path[0] in STANDS_FOR:
                self.data[str(path[0])] = deepcopy(STANDS_FOR[str(path[0])])
            elif path[0] == "engine" and isinstance(written, dict) and written.get("kind") == SERVED["kind"]:
                self.data["engine"] = deepcopy(SERVED)


class Rules:
    """Which rules say something of a recipe that was put right, whatever will stand there in the end."""

    def __init__(self, recipe: Recipe, kept: list[int], mended: Mended) -> None:
        self._recipe, self._kept, self._paths = recipe, kept, mended.paths
        self._references = [references(stage) for stage in recipe.stages]
        self._names = {*mended.names, *(stage.name for stage in recipe.stages)}
        self._broken = {mended.names[i] for i in mended.broken if i < len(mended.names)}
        """Names of stages that may be anything; None among them: so may any that is not there."""
        if any(len(path) > 2 and path[0] == STAGES and path[2] == "name" for path in mended.paths):
            self._broken.add(None)
        doubtful = {i for i, place in enumerate(kept) if any(self._reads(i, place, path) for path in mended.paths)}
        self._doubtful = self._broken | {recipe.stages[i].name for i in doubtful}
        self._inputs = {
            stage.name: [r.stage for r in found] for stage, found in zip(recipe.stages, self._references, strict=True)
        }

    def of_stage(self, path: Path) -> bool:
        """True for a path in one of the stages."""
        return len(path) > 1 and path[0] == STAGES and isinstance(path[1], int)

    def hold(self, path: Path, *, only_names: bool) -> bool:
        """True if nothing has been put right that a rule reads which tells a fault at a path of the recipe.

        `only_names`: it asks for nothing but the names and kinds of stages, and the names of splits.
        """
        if not self.of_stage(path):
            return not any(starts(path, mended) or self._read_at(path, mended) for mended in self._paths)
        position = int(path[1])
        if position >= len(self._kept):
            return False
        where: Path = (STAGES, self._kept[position], *path[2:])
        if (TASKS,) in self._paths and path[2:3] in ((), ("split",), ("splits",)):
            return False
        if any(starts(where, mended) or (len(where) == 2 and starts(mended, where)) for mended in self._paths):
            return False
        if only_names:
            if path[2:3] == ("labels",) and any(starts(mended, (*where[:2], "objective")) for mended in self._paths):
                return False  # it says which kinds of labels are read
            named = [r.stage for r in self._references[position] if r.path == path[2:]]
            return not self._among(named, self._broken)
        stage = self._recipe.stages[position].name
        return not self._among(ancestors([stage], lambda name: self._inputs.get(name, ())), self._doubtful)

    def _among(self, names: Any, doubted: set[str | None]) -> bool:
        return any((name if name in self._names else None) in doubted for name in names if name != OWN)

    def _reads(self, i: int, position: int, mended: Path) -> bool:
        """True if a rule about a stage may read what has been put right."""
        ours = type(self._recipe.stages[i]).__module__.startswith("o1kit.")
        return mended[:2] == (STAGES, position) and (not ours or len(mended) < 3 or mended[2] in READ)

    def _read_at(self, path: Path, mended: Path) -> bool:
        """The same for a rule about another part, at a path: only few read more than what stands there."""
        if path[0] == "model":
            return mended == ("model", "num_heads")
        return "grader" in path and mended in {(GRADING,), (GRADING, "answer_rule"), (GRADING, "timeout_s")}
