"""Counted tokens, rates, prices and corrections, against numbers worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1kit.cache import cache_folder
from o1kit.errors import RecipeError
from o1kit.plan import compile_recipe
from o1kit.planning.estimate import Ground, as_data, estimate
from o1kit.planning.facts import Facts, read_facts, shape_of, write_facts
from o1kit.planning.history import FILE, Correction, Entry, append, correction, read
from o1kit.planning.lengths import Lengths, guessed
from o1kit.planning.machine import Machine, other_machine, this_machine
from o1kit.planning.prices import read_prices
from o1kit.planning.rates import Rates
from o1kit.planning.show import estimate_lines
from o1kit.planning.work import work_of
from tests.small import RECIPE, small

GIB = 2**30
MACHINE = Machine(cores=2, threads=2, cpu="a", memory=8 * GIB, disk=50 * GIB)
TEN = {"train": Lengths(5, 8, 10, 20, 2), "heldout": Lengths(5, 8, 10, 20, 2)}
NONE = {"problem": 0.0, "row": 0.0, "drawing": 0.0, "read": 0.0, "answer": 0.0, "grading": 0.0}
EACH = {"start": 7.0, "stage": 1.0, "step": 2.0, "trained": 0.01, "drawn": 0.1}
FACTS = Facts(TEN, Rates(**EACH, **NONE), 300 * 2**20, 1000.0, 150)
HOT: dict[str, object] = {"kind": "sample", "num_samples": 4, "temperature": 0.5}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def evaluation(*searches: dict[str, object], **options: object) -> dict[str, object]:
    return {"searches": list(searches), "policies": ["sft"], **options}


@pytest.mark.parametrize(
    ("changes", "generated"),
    [
        (evaluation({"kind": "greedy"}), 12 * 10),
        (evaluation({"kind": "greedy"}, {"kind": "sample", "num_samples": 8}), 12 * 90),
        # Best-of-8 and its first 4 samples are the same chains.
        (evaluation({"kind": "best_of_n", "num_samples": 8}, {"kind": "sample", "num_samples": 4}), 12 * 80),
        # At another temperature they are not.
        (evaluation({"kind": "sample", "num_samples": 8}, HOT), 12 * 120),
        (evaluation({"kind": "sample", "num_samples": 2}, {"kind": "greedy"}, seeds=3), 12 * (60 + 10)),
        (evaluation({"kind": "beam", "num_beams": 2, "num_children": 3, "num_subtrees": 2}), 12 * 120),
    ],
)
def test_tokens_of_an_evaluation(changes: dict[str, object], generated: float) -> None:
    recipe = small({"evaluate": changes})
    found = work_of(recipe.stages[-1], recipe, TEN)
    assert found is not None and found.generated == generated


def test_tokens_of_training() -> None:
    recipe = small()
    sft = work_of(recipe.stages[0], recipe, TEN)
    assert sft is not None and (sft.trained, sft.generated) == (12 * 8 * 15, 0)
    prm = work_of(recipe.stages[1], recipe, TEN)
    # 10 problems, 2 chains each, of two steps: after the first of them one completion of half a chain.
    assert prm is not None and prm.generated == 10 * (2 * 10 + 2 * 5)
    assert prm.trained == 3 * 4 * 15


def test_time_is_counted_work_times_rates() -> None:
    plan = compile_recipe(small())
    found = estimate(plan, Path(), Ground(MACHINE, FACTS))
    assert found.stages[0].seconds == pytest.approx(1 + 12 * 2 + 12 * 8 * 15 * 0.01)
    assert found.seconds == pytest.approx(7 + sum(s.seconds or 0 for s in found.stages))
    peaks = [s.peak or 0 for s in found.stages]
    assert peaks == sorted(peaks) and peaks[0] > 300 * 2**20
    json.dumps(as_data(found))


def test_a_probe_is_kept_for_the_same_machine_and_shape_only() -> None:
    recipe = small()
    write_facts(FACTS, recipe, MACHINE)
    assert read_facts(recipe, MACHINE) == FACTS
    assert read_facts(recipe, Machine(4, 4, "a", 8 * GIB, 0)) is None
    assert read_facts(small({"sft": {"steps": 99}}), MACHINE) == FACTS
    wider = small(model=RECIPE["model"] | {"hidden_size": 64})
    assert read_facts(wider, MACHINE) is None
    path = cache_folder() / "probes" / f"{shape_of(recipe, MACHINE)}.json"
    for broken in ("", "[]", "{}", path.read_text().replace('"rates": {', '"rates": {"more": 1, ')):
        path.write_text(broken)
        assert read_facts(recipe, MACHINE) is None, broken


def test_earlier_runs_correct_the_next_plan() -> None:
    plan = compile_recipe(small())
    before = estimate(plan, Path(), Ground(MACHINE, FACTS))
    first = before.stages[0]
    entry = Entry(MACHINE.fingerprint, before.model, "sft", "probe", "f", 10.0, 30.0, 100.0, 150.0)
    append(
        [entry, entry._replace(seconds=20.0), entry._replace(seconds=40.0), entry._replace(machine="other", seconds=1)]
    )
    with (cache_folder() / FILE).open("a") as stream:
        stream.write('nonsense\n{"machine": 1}\n[]\n')
    after = estimate(plan, Path(), Ground(MACHINE, FACTS, read())).stages[0]
    assert after.seconds == pytest.approx(3 * (first.seconds or 0))
    assert after.peak == pytest.approx(1.5 * (first.peak or 0))
    assert after.basis == "probe, corrected by 3 runs"
    assert after.raw_seconds == first.seconds


def test_a_correction_is_bounded_and_short_stages_do_not_count() -> None:
    entry = Entry("m", "x", "sft", "probe", "f", 1.0, 1000.0, 100.0, 0.0)
    assert correction([entry], "m", "x", "sft", "probe") == Correction(5.0, 1.0, 1)
    assert correction([entry._replace(seconds=4.0)], "m", "x", "sft", "probe").seconds == 1.0
    assert correction([entry], "m", "x", "ppo", "probe") == Correction()


def test_prices(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("{currency: CHF, per_hour: {cpu: 2, h200: 3.5, gpu: 9}, kwh: 0.5, watts: 1000}")
    prices = read_prices(path)
    assert (prices.an_hour(""), prices.an_hour("NVIDIA H200"), prices.an_hour("other")) == (2.5, 4.0, 9.5)
    path.write_text("{per_hour: {cpu: 1, h200: 3}}")
    assert (read_prices(path).an_hour("gpu"), read_prices(path).an_hour("")) == (3.0, 1.0)
    found = estimate(compile_recipe(small()), Path(), Ground(MACHINE, FACTS, prices=prices))
    assert found.cost == pytest.approx((found.seconds or 0) / 3600 * 2.5) and found.currency == "CHF"


@pytest.mark.parametrize(
    ("text", "cost", "note"),
    [
        ("{kwh: 0.3}", None, "has `kwh`, but no `watts`"),
        ("{per_hour: {cpu: 1}, watts: 65}", 1.0, "has `watts`, but no `kwh`"),
        ("{per_hour: {cpu: 1}, kwh: 0.5, watts: 1000}", 1.5, ""),
        ("{per_hour: {cpu: 1}}", 1.0, ""),
    ],
)
def test_energy_that_cannot_be_counted_is_told(tmp_path: Path, text: str, cost: float | None, note: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    found = estimate(compile_recipe(small()), Path(), Ground(MACHINE, FACTS, prices=read_prices(tmp_path / "p.yaml")))
    assert found.an_hour == cost and len(found.notes) == bool(note)
    lines = "\n".join(estimate_lines(found))
    assert note in lines and ("energy is not counted" in lines) == bool(note)
    assert as_data(found)["notes"] == found.notes


def test_all_faults_of_a_file_of_prices_are_told(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("{per_hour: {cpu: 1.0e+308}, kwh: -1, price: 3}")
    with pytest.raises(RecipeError) as caught:
        read_prices(tmp_path / "p.yaml")
    told = str(caught.value)
    assert "p.yaml:1:" in told
    assert all(f": {name}: " in told for name in ("per_hour.cpu", "kwh", "price"))


@pytest.mark.parametrize("text", ["", "a", "{per_hour: {cpu: -1}}", "{per_hour: {cpu: yes}}", "{price: 3}", "{a: [}"])
def test_wrong_prices_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"p\.yaml"):
        read_prices(tmp_path / "p.yaml")


def test_lengths_of_a_file_are_read_from_it(tmp_path: Path) -> None:
    rows = [{"question": "x" * 20, "answer": "1", "t": "y" * 50}, {"question": "x" * 40, "answer": "2", "t": "y" * 70}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = {"kind": "jsonl", "path": "a.jsonl", "thought_field": "t"}
    recipe = small(tasks={n: {"num_problems": 2, "sources": [source]} for n in ("train", "heldout")})
    found = guessed(recipe, 160, tmp_path)["train"]
    assert (found.prompt, found.prompt_max) == (31.0, 41)  # one token a character, and one that ends the question
    assert (found.chain, found.chain_max) == (64.0, 74)  # a line break, the answer, the end, and one to spare


def test_machines() -> None:
    here = this_machine(Path("/nowhere/at/all"))
    assert here.cores >= 1 and here.memory > 0 and here.disk > 0
    assert other_machine(here, 2.5, None, None).memory == int(2.5 * GIB)
    assert other_machine(here, None, None, 80.0).gpu_memory == 80 * GIB


def test_wrong_prices_are_told_with_their_line_and_what_was_meant(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("currency: EUR\nkwhh: 3\n")
    with pytest.raises(RecipeError, match=r"p\.yaml:2:1: kwhh: unknown key 'kwhh'\. Did you mean 'kwh'\?") as caught:
        read_prices(tmp_path / "p.yaml")
    assert [fault.line for fault in caught.value.faults] == [2]
    with pytest.raises(RecipeError, match=r"none\.yaml: cannot be read: No such file or directory\. Name"):
        read_prices(tmp_path / "none.yaml")
