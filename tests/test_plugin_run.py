"""A run in which everything that a plugin can add comes from one: problems to trackers, in a real process."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.distributions import install, o1kit

SECTIONS = '''
from typing import Annotated, Any, Literal
from o1kit.config import Config, Count, StageName
from o1kit.models.config import ScratchModelConfig, TorchEngineConfig
from o1kit.plugin import Plugin
from o1kit.reference import POLICIES, Reference
from o1kit.rewards.config import RewardSection
from o1kit.search.section import DecodingConfig
from o1kit.stages.sft.config import SftConfig
from o1kit.tasks.config import SourceSection
from o1kit.tasks.graders.config import ExactConfig, GraderConfig
from o1kit.tracking.config import TrackerSection

class Problems(SourceSection):
    """Sums of two digits."""
    kind: Literal["sums"]
    """Selects it."""
    grader: GraderConfig = ExactConfig(kind="exact")
    """What judges answers."""

class Grader(Config):
    """Right if the answer ends as the right one does."""
    kind: Literal["ends"]
    """Selects it."""
    digits: Count = 1
    """How many digits must be the same."""

class Model(ScratchModelConfig):
    """A small model."""
    kind: Literal["small"]  # type: ignore
    """Selects it."""

class Engine(TorchEngineConfig):
    """The engine in this process by another name."""
    kind: Literal["other_torch"]  # type: ignore
    """Selects it."""

class Stage(SftConfig):
    """Imitation once more."""
    stands_for = "sft"
    kind: Literal["imitate"]  # type: ignore
    """Selects it."""
    after: StageName | None = None
    """An earlier stage."""
    def references(self):
        return [Reference(("after",), self.after, POLICIES)] if self.after is not None else []

class Search(DecodingConfig):
    """Samples, the judge takes the best."""
    kind: Literal["judged_samples"]
    """Selects it."""
    num_samples: Count = 2
    """Samples."""
    @property
    def judge(self):
        return "judge"

class Reward(RewardSection):
    """Short chains are good."""
    kind: Literal["brevity"]
    """Selects it."""

class Tracker(TrackerSection):
    """A CSV file."""
    kind: Literal["csv_file"]  # type: ignore
    """Selects it."""
    folder: str = "csv"
    """Folder in the run's."""

problems = Plugin(1, Problems, "everything.parts:Sums")
grader = Plugin(1, Grader, "everything.parts:Ends")
model = Plugin(1, Model, "everything.parts:small")
engine = Plugin(1, Engine, "everything.parts:engine")
stage = Plugin(1, Stage, "everything.parts:Imitate")
search = Plugin(1, Search, "everything.parts:JudgedSamples")
reward = Plugin(1, Reward, "everything.parts:brevity")
tracker = Plugin(1, Tracker, "everything.parts:tracker")
'''
PARTS = """
import random
from lightning.pytorch.loggers import CSVLogger
from o1kit.rewards.base import ChainReward
from o1kit.search.sample import generated
from o1kit.stages.searching import torch_engine
from o1kit.stages.sft.stage import SftStage
from o1kit.stages.start import scratch_model
from o1kit.tasks.graders.grader import build_grader
from o1kit.types import GroundTruth, Problem, SearchResult, Trajectory

def note(word):
    with open("used.txt", "a") as stream:
        stream.write(word + "\\n")

class Sums:
    name, teacher = "sums", None
    def __init__(self, config, base):
        note("sums")
        self.grader = build_grader(config.grader)
    def check(self):
        pass
    def generate(self, seed, count):
        draw = random.Random(seed)
        for _ in range(count):
            a, b = draw.randrange(100), draw.randrange(100)
            thought = [f"{a} + {b} is\\n", f"The answer is {a + b}"]
            yield Problem("", "sums", f"{a} + {b} = ?"), GroundTruth("", str(a + b), {"thought": thought})

class Ends:
    name, version = "ends", "1"
    def __init__(self, config):
        note("ends")
        self.config = config
    def check(self):
        pass
    def refuses(self, answer):
        return None
    def prepare(self, truth):
        pass
    def score(self, truth, answer):
        n = self.config.digits
        return float(answer is not None and answer[-n:] == truth.answer[-n:])

def small(config, inputs, suite):
    note("small")
    return scratch_model(config, inputs, suite)

def engine(config, model, template):
    note("other_torch")
    return torch_engine(config, model, template)

class Imitate(SftStage):
    def build(self, inputs):
        note("imitate")
        return super().build(inputs)

class JudgedSamples:
    def __init__(self, config):
        note("judged_samples")
        self.config = config
    async def run(self, root, *, policy, reward, key):
        states = await policy.complete(root, self.config.num_samples, key=key, decoding=self.config.decoding)
        scores = [(await reward.score(state)).value for state in states]
        best = states[scores.index(max(scores))]
        chosen = Trajectory(best, policy.answer(best))
        return SearchResult((chosen,), (chosen.answer,), generated(states, root))

class Brevity(ChainReward):
    name = "brevity"
    async def value(self, state):
        return 1.0 / (1 + len(state.token_ids))

def brevity(config, context):
    note("brevity")
    return Brevity()

def tracker(config, context):
    note("csv_file " + context.stage)
    return CSVLogger(str(context.run_directory), name=config.folder, version=context.stage)
"""
ENTRIES = {
    "tasks": {"sums": "everything:problems"},
    "graders": {"ends": "everything:grader"},
    "models": {"small": "everything:model"},
    "engines": {"other_torch": "everything:engine"},
    "stages": {"imitate": "everything:stage"},
    "searches": {"judged_samples": "everything:search"},
    "rewards": {"brevity": "everything:reward"},
    "trackers": {"csv_file": "everything:tracker"},
}
RECIPE = """\
o1kit: 1
name: other
model: {kind: small, hidden_size: 32, intermediate_size: 48, num_layers: 1, num_heads: 2, num_kv_heads: 2,
        context_length: 64}
engine: {kind: other_torch, max_batch: 8}
tasks:
  train: {num_problems: 30, sources: [{kind: sums}]}
  heldout: {num_problems: 6, sources: [{kind: sums, grader: {kind: ends, digits: 2}}]}
stages:
  - {kind: imitate, name: first, steps: 2, batch_size: 4}
  - {kind: imitate, name: second, after: first, steps: 2, batch_size: 4}
  - kind: evaluate
    name: eval
    policies: [second]
    judge: {kind: brevity}
    searches:
      - {kind: judged_samples, num_samples: 3}
tracking: {wandb: {mode: disabled}, trackers: [{kind: csv_file, folder: table}]}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {"everything/__init__.py": SECTIONS, "everything/parts.py": PARTS}
    return install(tmp_path_factory.mktemp("site"), "o1kit-everything", ENTRIES, files)


def test_stages_of_plugins_name_earlier_ones_and_stand_for_built_in_kinds(site: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE.replace("after: first", "after: frist").replace("{kind: brevity}", "first"))
    done = o1kit(site, "validate", "r.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "stages[1].after: there is no stage 'frist'. Did you mean 'first'?" in done.stderr
    assert "stage 'first' is of kind sft, prm is needed" in done.stderr
    assert not (tmp_path / "used.txt").exists()


@pytest.mark.slow
def test_a_run_of_plugins_only(site: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    done = o1kit(site, "run", "r.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    used = set((tmp_path / "used.txt").read_text().splitlines())
    kinds = {kind for kinds in ENTRIES.values() for kind in kinds} - {"csv_file"}
    assert used == kinds | {f"csv_file {stage}" for stage in ("first", "second", "eval")}
    results = json.loads((tmp_path / "runs/other/results.json").read_text())
    (row,) = results["rows"]
    assert "judged_samples" in row["search"] and "brevity" in row["search"]
    with (tmp_path / "runs/other/table/first/metrics.csv").open() as stream:
        assert any("loss" in name for name in next(csv.reader(stream)))
    again = o1kit(site, "run", "r.yaml", cwd=tmp_path)
    assert again.returncode == 0 and "first: already done" in again.stdout
    # Another version of a plugin may compute something else.
    (info,) = site.glob("*.dist-info")
    info = info.rename(site / "o1kit_everything-1.3.dist-info")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: o1kit-everything\nVersion: 1.3\n")
    assert o1kit(site, "plan", "r.yaml", cwd=tmp_path).stdout.count("changed") == 3
