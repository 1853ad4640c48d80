"""What a run says it would do, against what it then does."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1kit import registry
from o1kit.errors import RecipeError
from o1kit.identity import Identities
from o1kit.outlook import Row, newest_step, outlook, require_work, summary
from tests import toy


@pytest.fixture(autouse=True)
def toy_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILTIN, "stages", {**registry.BUILTIN["stages"], **toy.KINDS})


def chain(**options: float) -> toy.ToyPlan:
    """a, b after a, c after b; the options are b's."""
    return toy.plan(
        toy.stage("a", steps=3),
        toy.stage("b", inputs=("a",), steps=3, **options),
        toy.stage("c", inputs=("b",), steps=3),
    )


def rows(plan: toy.ToyPlan, runs: Path, chosen: str = "abc") -> list[Row]:
    identities = Identities(plan, runs)  # type: ignore[arg-type]
    return outlook(identities, runs / "run", list(chosen), verify=True)


def actions(plan: toy.ToyPlan, runs: Path, chosen: str = "abc") -> dict[str, str]:
    return {row.stage: row.action for row in rows(plan, runs, chosen)}


def made(runs: Path) -> dict[str, int]:
    """When each stage was finished."""
    return {f.parent.name: f.stat().st_mtime_ns for f in (runs / "run").glob("[abc]/done.json")}


@pytest.mark.slow
def test_the_outlook_is_what_then_happens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert actions(chain(), tmp_path) == dict.fromkeys("abc", "run")
    assert not (tmp_path / "run").exists(), "looking makes no folder"
    toy.run(chain(), tmp_path, stages=["a"])
    assert actions(chain(), tmp_path, "c") == {"a": "skip", "b": "left out", "c": "cannot run"}
    assert actions(chain(), tmp_path) == {"a": "skip", "b": "run", "c": "run"}
    toy.run(chain(), tmp_path)
    assert actions(chain(), tmp_path) == dict.fromkeys("abc", "skip")
    changed, before = chain(lr=0.3), made(tmp_path)
    told = rows(changed, tmp_path)
    assert [row.action for row in told] == ["skip", "run again", "run again"]
    assert "after b" in told[2].note
    assert summary(told).startswith("to run: b (changed")
    capsys.readouterr()
    toy.run(changed, tmp_path)
    after, out = made(tmp_path), capsys.readouterr().out
    assert {name for name in "abc" if before[name] != after[name]} == {"b", "c"}
    assert out.index("to run: b (changed") < out.index("b: starting"), "told before it is done"
    assert "b.previous" in out


def test_what_was_finished_before_is_taken_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recipe that is changed and changed back costs nothing, and what was only begun meanwhile is in nobody's way."""
    toy.run(chain(), tmp_path, stages=["a"])
    first = (tmp_path / "run" / "a" / "model.safetensors").read_bytes()
    changed = toy.plan(toy.stage("a", lr=0.3))
    toy.run(changed, tmp_path)
    second = (tmp_path / "run" / "a" / "model.safetensors").read_bytes()
    assert actions(chain(), tmp_path) == {"a": "skip", "b": "run", "c": "run"}
    assert "kept in a.previous" in rows(chain(), tmp_path)[0].note
    capsys.readouterr()
    toy.run(chain(), tmp_path, stages=["a"])
    out = capsys.readouterr().out
    assert "a: taken back from a.previous" in out and "a: starting" not in out
    assert (tmp_path / "run" / "a" / "model.safetensors").read_bytes() == first != second
    assert (tmp_path / "run" / "a.previous" / "model.safetensors").read_bytes() == second, "both are kept"
    (tmp_path / "run" / "a" / "done.json").unlink()  # as if a third one had been begun
    (tmp_path / "run" / "a" / "stage.json").write_text("{}")
    toy.run(toy.plan(toy.stage("a", lr=0.5)), tmp_path)
    assert (tmp_path / "run" / "a.previous" / "model.safetensors").read_bytes() == second
    toy.run(changed, tmp_path)
    assert (tmp_path / "run" / "a" / "model.safetensors").read_bytes() == second


def test_a_damaged_stage_runs_again(tmp_path: Path) -> None:
    toy.run(chain(), tmp_path, stages=["a"])
    (tmp_path / "run" / "a" / "model.safetensors").write_bytes(b"x")
    assert actions(chain(), tmp_path) == {"a": "run again", "b": "run", "c": "run"}


def test_resume_insists_on_something_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nothing to go on with\. Leave out --resume"):
        toy.run(chain(), tmp_path, resume=True)
    assert not (tmp_path / "run").exists()
    toy.run(chain(), tmp_path, stages=["a"])
    with pytest.raises(RecipeError, match=r"a done\. To run what was not selected: --stage b\.\.c"):
        toy.run(chain(), tmp_path, stages=["a"], resume=True)
    toy.run(chain(), tmp_path, resume=True)
    assert set(made(tmp_path)) == {"a", "b", "c"}
    with pytest.raises(RecipeError, match="Every stage is finished"):
        require_work(Identities(chain(), tmp_path), tmp_path / "run", list("abc"))  # type: ignore[arg-type]


def test_the_newest_checkpoint_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    assert newest_step(tmp_path) is None
    for name in ("step-00000090.ckpt", "step-00000120.ckpt", "step-x.ckpt", ".step-00000500.ckpt.tmp"):
        (folder / name).touch()
    assert newest_step(tmp_path) == 120
