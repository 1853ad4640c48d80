"""What is logged stands in event files, read here record by record with TensorBoard's own message format."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event

from o1kit import registry
from o1kit.errors import RecipeError
from o1kit.protocols import TrackerContext
from o1kit.recipe.loader import load_recipe

RECIPE = Path(__file__).parents[1] / "recipe.yaml"


def events(folder: Path) -> Iterator[Any]:
    """The records of all event files: length, its checksum, the message, its checksum."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event()
            event.ParseFromString(data[at + 12 : at + 12 + length])
            yield event
            at += 12 + length + 4


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def logger(tmp_path: Path, stage: str = "sft", **options: Any) -> Any:
    plugin = registry.load("trackers", "tensorboard")
    assert plugin.config is not None
    section = plugin.config.model_validate({"kind": "tensorboard", **options})
    context = TrackerContext("run", stage, tmp_path, tmp_path / stage, {"stage": {}, "recipe": {}})
    return registry.lookup("trackers", "tensorboard")(section, context)


def test_metrics_arrive_with_their_steps(tmp_path: Path) -> None:
    one = logger(tmp_path)
    for step in (0, 10, 20):
        one.log_metrics({"sft/loss": 1.0 / (step + 1), "sft/accuracy": step / 20}, step)
    one.finalize("success")
    found = scalars(tmp_path / "tensorboard-logs" / "sft")
    assert found["sft/loss"] == [(0, 1.0), (10, pytest.approx(1 / 11)), (20, pytest.approx(1 / 21))]
    assert [step for step, _ in found["sft/accuracy"]] == [0, 10, 20]


def test_a_resumed_stage_goes_on_in_the_same_folder(tmp_path: Path) -> None:
    for start in (0, 5):
        one = logger(tmp_path, "ppo", folder="tb")
        one.log_metrics({"reward": float(start)}, start)
        one.finalize("success")
    assert sorted(scalars(tmp_path / "tb" / "ppo")["reward"]) == [(0, 0.0), (5, 5.0)]


def test_the_section_is_checked_where_it_is_written(tmp_path: Path) -> None:
    assert load_recipe(RECIPE).name == "o1kit-tensorboard"
    for change, told in (("folder=../elsewhere", "folder"), ("flush_s=0", "flush_s")):
        with pytest.raises(RecipeError, match=told):
            load_recipe(RECIPE, [f"tracking.trackers.0.{change}"])
