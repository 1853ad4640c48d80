"""`o1kit plan` as a person uses it, in processes of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from o1kit.cli import main
from o1kit.plan import compile_recipe
from o1kit.planning.estimate import estimate, ground
from o1kit.planning.machine import this_machine
from o1kit.recipe.loader import load_recipe
from tests.small import RECIPE, built, small
from tests.test_cli import NO_TORCH, o1kit

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "recipes" / "quickstart.yaml"
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process: its exit code, and what it printed."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def peak(said: Said, *arguments: object) -> float:
    _, out, _ = said("plan", QUICKSTART, *arguments, "--json")
    return max(float(row["takes"]["peak"]) for row in json.loads(out)["stages"])


def test_the_quickstart_is_planned_without_anything_heavy(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text("{currency: CHF, per_hour: {cpu: 36}}")
    options = ("--runs-dir", tmp_path, "--prices", tmp_path / "prices.yaml")
    done = o1kit("plan", QUICKSTART, *options, code=NO_TORCH)
    assert done.returncode == 0, done.stderr
    for word in ("to do", "parameters", "peak memory, MiB", "kv cache", "CHF", "free on disk"):
        assert word in done.stdout


def test_levers_need_nothing_heavy_either(tmp_path: Path) -> None:
    done = o1kit("plan", QUICKSTART, "--runs-dir", tmp_path, "--memory-gb", 1, code=NO_TORCH)
    assert done.returncode == 6 and "does not fit: memory" in done.stdout, done.stderr


def test_cost_is_time_at_the_price(tmp_path: Path, said: Said) -> None:
    (tmp_path / "prices.yaml").write_text("{currency: CHF, per_hour: {cpu: 36}}")
    _, out, _ = said("plan", QUICKSTART, "--runs-dir", tmp_path, "--prices", tmp_path / "prices.yaml", "--json")
    rows = json.loads(out)["stages"]
    assert [row["takes"]["cost"] for row in rows] == [pytest.approx(row["takes"]["seconds"] / 100) for row in rows]
    (tmp_path / "prices.yaml").write_text("{per_hour: {tpu: 36}}")
    code, out, _ = said("plan", QUICKSTART, "--runs-dir", tmp_path, "--prices", tmp_path / "prices.yaml")
    assert code == 0 and "cost: not known, the file has no price of an hour of " in out


def test_what_does_not_fit_is_told_with_changes_that_work(tmp_path: Path, said: Said) -> None:
    little = ("--runs-dir", tmp_path, "--memory-gb", 1)
    code, out, _ = said("plan", QUICKSTART, *little)
    changes = re.findall(r"--set '([^']+)' ", out.partition("no single change")[0])
    assert code == 6 and 1 <= len(changes) <= 3
    before = peak(said, *little)
    for change in changes:
        assert peak(said, *little, "--set", change) < before


def test_a_lever_that_is_enough_makes_it_fit(tmp_path: Path, said: Said) -> None:
    most = peak(said, "--runs-dir", tmp_path)
    little = ("--runs-dir", tmp_path, "--memory-gb", 0.9 * most / 2**30)
    code, out, _ = said("plan", QUICKSTART, *little)
    change = re.search(r"--set '([^']+)' .* fits ", out)
    assert code == 6 and change, out
    code, out, _ = said("plan", QUICKSTART, *little, "--set", change[1])
    assert code == 0 and "does not fit" not in out


def test_where_no_single_change_is_enough_several_are_named(tmp_path: Path, said: Said) -> None:
    little = ("--runs-dir", tmp_path, "--memory-gb", 0.4 * peak(said, "--runs-dir", tmp_path) / 2**30)
    code, out, _ = said("plan", QUICKSTART, *little)
    _, told, several = out.partition("no single change is enough; together these are")
    changes = re.findall(r"--set '([^']+)'", several)
    assert code == 6 and told and " fits " not in out
    for left_out in (None, *changes):  # none of them is there in vain
        words = [word for change in changes if change != left_out for word in ("--set", change)]
        assert said("plan", QUICKSTART, *little, *words, "--json")[0] == (0 if left_out is None else 6)


def test_where_nothing_is_enough_that_is_said(tmp_path: Path, said: Said) -> None:
    code, out, _ = said("plan", QUICKSTART, "--runs-dir", tmp_path, "--memory-gb", 0.1)
    assert code == 6 and "nothing makes it fit: with all changes that could help, at once, it still takes" in out


def test_too_little_disk_is_told(tmp_path: Path, said: Said) -> None:
    code, out, _ = said("plan", QUICKSTART, "--runs-dir", tmp_path, "--disk-gb", 0.01)
    assert code == 6 and "does not fit: disk" in out


def test_a_model_that_is_not_here_is_told_and_the_stages_still_shown(tmp_path: Path, said: Said) -> None:
    recipe = ROOT / "recipes" / "smollm2-lora.yaml"
    options = ("--set", f"model.source={tmp_path}/none", "--runs-dir", tmp_path)
    code, out, _ = said("plan", recipe, *options)
    assert code == 0 and "evaluate" in out and "is no folder here" in out and "are not known" in out
    code, _, err = said("plan", recipe, *options, "--probe")
    assert code == 3 and "nothing can be measured" in err


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_plans(recipe: Path, tmp_path: Path, said: Said) -> None:
    code, out, err = said("plan", recipe, "--runs-dir", tmp_path)
    assert code == 0 and ("in all: " in out or "are not known" in out), err


@pytest.mark.slow
def test_a_probe_measures_lengths_and_serves_later_plans(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(json.dumps(RECIPE))
    done = o1kit("plan", recipe, "--runs-dir", tmp_path, "--probe")
    assert done.returncode == 0 and "basis: probe" in done.stdout, done.stderr
    again = o1kit("plan", recipe, "--runs-dir", tmp_path, code=NO_TORCH)
    assert again.returncode == 0 and "basis: probe" in again.stdout, again.stderr
    rows = json.loads(o1kit("plan", recipe, "--runs-dir", tmp_path, "--json").stdout)["stages"]
    data: Any = built(small(), "sft", tmp_path / "sft").data
    data.setup("fit")
    mean = sum(len(row.token_ids) for row in data.rows) / len(data.rows)
    assert rows[0]["takes"]["work"]["trained"] == pytest.approx(12 * 8 * mean, rel=0.05)


@pytest.mark.parametrize(
    ("judge", "models"),
    [
        ("prm", 1),
        ("{kind: prm, model: prm}", 1),
        ("{kind: judge, model: sft}", 1),
        ("{kind: judge}", 0),  # the policy itself
        ("{kind: judge, model: sft, engine: {kind: http, endpoints: ['http://127.0.0.1:1/v1']}}", 0),
        ("{kind: mixture, of: [{kind: prm, model: prm}, {kind: judge, model: sft}, {kind: confidence}]}", 2),
    ],
)
def test_models_of_judges_count_where_this_process_holds_them(judge: str, models: int, tmp_path: Path) -> None:
    changes = [f"stages.ppo.judge={judge}", "stages.ppo.search={kind: best_of_n, num_samples: 8}"]
    plan = compile_recipe(load_recipe(QUICKSTART, changes))
    found = estimate(plan, tmp_path, ground(plan, this_machine(tmp_path)), ["ppo"])
    memory = next(stage.memory for stage in found.stages if stage.stage == "ppo")
    assert memory is not None and memory.other_models == (1 + models) * memory.weights, "the reference, and judges"


def test_the_remedy_is_told_as_data_too(tmp_path: Path, said: Said) -> None:
    least = 0.9 * peak(said, "--runs-dir", tmp_path) / 2**30
    code, out, _ = said("plan", QUICKSTART, "--runs-dir", tmp_path, "--memory-gb", least, "--json")
    found = json.loads(out)
    assert code == 6 and not found["fits"] and found["short"] and found["together"] is None
    assert 1 <= len(found["levers"]) <= 3 and found["levers"][0]["fits"] and found["levers"][0]["peak"] < found["peak"]
    _, out, _ = said("plan", QUICKSTART, "--runs-dir", tmp_path, "--memory-gb", 0.45 * least, "--json")
    found = json.loads(out)
    assert found["together"]["changes"] and not any(lever["fits"] for lever in found["levers"])
