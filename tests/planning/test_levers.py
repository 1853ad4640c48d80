"""Levers and their bound: how often a recipe is planned anew, and which changes are offered."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fuzz_worker
from o1kit.cli.planning import replanned
from o1kit.plan import compile_recipe
from o1kit.planning.estimate import Estimate, Ground, estimate, for_recipe
from o1kit.planning.levers import FEWEST, REPLANS, levers, remedy_for
from o1kit.planning.machine import Machine
from o1kit.planning.show import estimate_lines
from o1kit.recipe.loader import load_recipe, variants
from tests.planning.test_counts import FACTS
from tests.small import RECIPE, small

QUICKSTART = Path(__file__).parents[2] / "recipes" / "quickstart.yaml"
GIB = 2**30


def machine(memory: float) -> Machine:
    return Machine(cores=2, threads=2, cpu="a", memory=int(memory), disk=50 * GIB)


@pytest.mark.parametrize(("stages", "most"), [(3, 2 * REPLANS), (300, 2 * FEWEST)])
def test_plans_are_made_anew_no_more_often_than_is_allowed(stages: int, most: int) -> None:
    data: dict[str, Any] = copy.deepcopy(RECIPE)
    sft = data["stages"][0]
    data["stages"] = [sft | {"name": f"sft{i}", "batch_size": 64} for i in range(stages)]
    plan = compile_recipe(small(**data))
    before = estimate(plan, Path(), Ground(machine(2**20)))
    asked: list[Sequence[str]] = []

    def replan(changes: Sequence[str]) -> Estimate | None:
        asked.append(changes)
        # It fits as long as every option is changed, so that each is tried to be left out.
        return replace(before, machine=machine(0)) if len(changes) >= stages else None

    remedy_for(plan.recipe, before, replan)
    assert 0 < len(asked) <= most


def test_three_levers_are_offered_where_three_changes_help() -> None:
    plan = compile_recipe(load_recipe(QUICKSTART))
    known = Ground(machine(0.3 * GIB))
    before = estimate(plan, QUICKSTART.parent, known)
    found = levers(plan.recipe, before, replanned(plan, QUICKSTART, ([], []), known, None))
    assert len(found) == 3 and all(lever.peak < before.peak for lever in found)
    assert {"model.num_layers", "model.hidden_size"} <= {lever.change.partition("=")[0] for lever in found}


def test_fewer_chains_seeds_and_a_smaller_model_come_late() -> None:
    plan = compile_recipe(small({"evaluate": {"seeds": 4, "searches": [{"kind": "sample", "num_samples": 4}]}}))
    before = estimate(plan, Path(), Ground(machine(2**20)))
    asked: list[str] = []
    levers(plan.recipe, before, lambda changes: asked.extend(changes))
    assert {"stages.prm.labels.chains=1", "stages.evaluate.seeds=2", "model.num_layers=1"} <= set(asked)
    smaller = [change for change in asked if change.startswith("model.")]
    assert asked[-len(smaller) :] == smaller
    for change in smaller:  # what is offered is a valid recipe
        name, _, value = change.removeprefix("model.").partition("=")
        small(model=RECIPE["model"] | {name: int(value)})


def test_a_change_of_the_model_changes_measured_speeds_too() -> None:
    known, wide = Ground(machine(GIB), FACTS), small()
    narrow = small(model=RECIPE["model"] | {"hidden_size": 16, "intermediate_size": 24})
    assert for_recipe(known, wide, small({"sft": {"steps": 99}})) is known
    found = for_recipe(known, wide, narrow).facts
    assert found is not None and found.rates.drawing == FACTS.rates.drawing
    assert 0 < found.rates.trained < FACTS.rates.trained and found.rates.start == FACTS.rates.start


def test_variants_read_the_files_once(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(json.dumps(RECIPE))
    made = variants(file)
    plain = load_recipe(file)
    file.unlink()
    changed = made(["stages.sft.steps=5", "stages.sft.batch_size=2"])
    assert (changed.stages[0].steps, changed.stages[0].batch_size) == (5, 2)  # type: ignore[union-attr]
    assert made([]) == plain, "no change stays"


def test_the_fuzzer_plans_what_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    remedies: list[object] = []

    def noted(*arguments: Any) -> object:
        remedies.append(remedy_for(*arguments))
        return remedies[-1]

    monkeypatch.setattr(fuzz_worker, "remedy_for", noted)

    class Off:
        on, found = False, []

    said: list[dict[str, Any]] = []
    checker = fuzz_worker.Checker(Off(), said.append)  # type: ignore[arg-type]
    checker.check(fuzz_worker.SMALL.encode())
    assert said[-1]["end"] == "valid" and not said[-1]["findings"] and len(remedies) == 1


def test_totals_are_of_what_is_left() -> None:
    plan, known = compile_recipe(small()), Ground(machine(GIB))
    whole, rest = estimate(plan, Path(), known), estimate(plan, Path(), known, ["evaluate"])
    assert len(rest.stages) == len(whole.stages) and rest.disk < whole.disk
    last = rest.stages[-1]
    assert rest.seconds == pytest.approx(rest.start + (last.seconds or 0)) and rest.peak == last.peak
    assert any(line.startswith("in all: ") for line in estimate_lines(whole))
    assert any(line.startswith("what is left: ") for line in estimate_lines(rest))
    none = estimate(plan, Path(), Ground(machine(2**20)), [])
    assert not none.short and none.seconds == 0 and "nothing is left to run" in estimate_lines(none)


def test_a_change_that_hardly_helps_is_no_lever() -> None:
    plan = compile_recipe(small())
    before = estimate(plan, Path(), Ground(machine(2**20)))

    def replan(changes: Sequence[str]) -> Estimate | None:
        share = 0.5 if "batch_size" in changes[0] else 0.999
        return replace(before, stages=tuple(replace(s, peak=(s.peak or 0) * share) for s in before.stages))

    found = [lever.change for lever in levers(plan.recipe, before, replan)]
    assert found and all("batch_size" in change for change in found)
