"""Locks: the same recipe with every value, compared with this machine and its data before a run."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from importlib.metadata import distributions, version
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from o1kit.cli import main
from o1kit.errors import DataError
from o1kit.plan import compile_recipe
from o1kit.recipe.loader import load_recipe
from o1kit.sharing.archive import read_archive
from o1kit.sharing.inputs import MAX_FILES, _hashed, file_hash
from o1kit.sharing.lock import differences, lock_text, require
from o1kit.sharing.pack import pack
from o1kit.sharing.shipped import shipped
from o1kit.sharing.verify import verify
from tests.sharing.parts import PLAIN, ROWS, folder
from tests.test_cli import NO_TORCH, o1kit


def locked(recipe: Path) -> Path:
    target = recipe.with_suffix(".lock")
    target.write_text(lock_text(load_recipe(recipe), recipe.parent, recipe.name))
    return target


@pytest.mark.parametrize("shipped_recipe", shipped(), ids=lambda recipe: recipe.name)
def test_a_lock_is_the_same_recipe(shipped_recipe, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    recipe = load_recipe(shipped_recipe.path)
    (tmp_path / "a.lock").write_text(lock_text(recipe, shipped_recipe.path.parent, "a.yaml"))
    again = load_recipe(tmp_path / "a.lock")
    assert again.model_copy(update={"lock": None}) == recipe
    prints = {stage.name: stage.fingerprint for stage in compile_recipe(recipe).stages}
    assert again.lock is not None and again.lock.fingerprints == prints
    assert differences(again, shipped_recipe.path.parent) == []


def test_a_lock_holds_defaults_versions_and_hashes(tmp_path: Path) -> None:
    data = YAML(typ="safe").load(locked(folder(tmp_path)).read_text())
    assert data["seed"] == 0 and data["stages"][0]["optimizer"]["lr"] > 0  # defaults, written out
    lock = data["lock"]
    sha256 = hashlib.sha256(ROWS.encode()).hexdigest()
    assert lock["files"] == {"data/rows.jsonl": {"sha256": sha256, "size": len(ROWS)}}
    assert lock["packages"]["torch"] == version("torch") and lock["o1kit"] == version("o1kit")
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert lock["commit"] == (done.stdout.strip() or None)
    assert len({d.metadata["Name"] for d in distributions()}) > 20 and re.fullmatch(
        r"[0-9a-f]{64}", lock["environment"]
    )


@pytest.mark.parametrize(
    ("pattern", "put", "named"),
    [
        (r"    torch: .*", "    torch: 2.10.0", "package torch: locked 2.10.0, here"),
        (r"    torch: .*\n", "", "package torch: locked absent, here"),
        (r"  python: .*", "  python: 3.11.0", "python: locked 3.11.0, here"),
        (r"  platform: .*", "  platform: Plan9-vax", "platform: locked Plan9-vax, here Linux"),
        (r"  code: .*", f"  code: {'a' * 64}", "o1kit's code: locked aaaaaaaaaaaa"),
        (r"  o1kit: .*", "  o1kit: 0.0.1", "o1kit: locked 0.0.1"),
        (r"  plugins: {}", "  plugins: {o1kit-nim: 1.0.1}", "plugin o1kit-nim: locked 1.0.1, here absent"),
        (r"  models: {}", "  models: {a/b: abc}", "model a/b: locked abc, here not in the local cache"),
        (r"steps: 3", "steps: 4", "stage sft: locked"),
    ],
)
def test_what_differs_is_named(pattern: str, put: str, named: str, tmp_path: Path) -> None:
    lock = locked(folder(tmp_path))
    text = lock.read_text()
    changed = re.sub(pattern, put, text, count=1)
    assert changed != text
    lock.write_text(changed)
    found = [str(difference) for difference in differences(load_recipe(lock), tmp_path)]
    assert any(named in line for line in found), found
    with pytest.raises(DataError, match="--allow-drift"):
        require(load_recipe(lock), tmp_path)


def test_changed_and_missing_data_are_named(tmp_path: Path) -> None:
    lock = load_recipe(locked(folder(tmp_path)))
    require(lock, tmp_path)
    data = tmp_path / "data/rows.jsonl"
    data.write_text(ROWS.replace("1 + 1", "1 + 2"))
    with pytest.raises(DataError, match=r"data/rows.jsonl: locked sha256 .* here sha256"):
        require(lock, tmp_path)
    data.unlink()
    with pytest.raises(DataError, match=r"data/rows.jsonl: locked sha256 .* here absent"):
        require(lock, tmp_path)
    assert differences(lock, tmp_path, absent=False) == []


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no file"):
        locked(folder(tmp_path, PLAIN.replace("data/rows.jsonl", "/dev/zero")))
    (tmp_path / "many").mkdir()
    for n in range(MAX_FILES + 1):
        (tmp_path / "many" / str(n)).touch()
    with pytest.raises(DataError, match="more than 1000 files"):
        locked(folder(tmp_path, PLAIN.replace("data/rows.jsonl", "many")))


HUB = PLAIN.replace(
    "{kind: scratch, hidden_size: 32, num_layers: 2, context_length: 160}", "{kind: hf, source: SOURCE}"
)


@pytest.mark.parametrize("source", ["/proc", "/sys/kernel", "LINK"])
def test_folders_of_the_system_are_not_read(source: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc/self")
    with pytest.raises(DataError, match="where there is no data"):
        locked(folder(tmp_path, HUB.replace("SOURCE", source.replace("LINK", str(tmp_path / "link")))))
    for file in ("/proc/kmsg", "/proc/self/mem"):  # regular files, as they say
        with pytest.raises(DataError, match="where there is no data"):
            file_hash(Path(file))


def test_a_file_that_does_not_end_where_it_says_is_not_read_on(tmp_path: Path) -> None:
    with Path("/proc/self/maps").open("rb") as endless, pytest.raises(DataError, match="size changed"):
        _hashed(endless, Path("maps"))  # of size 0, as it says
    (tmp_path / "a").write_text("abc")
    assert file_hash(tmp_path / "a").sha256 == hashlib.sha256(b"abc").hexdigest()


def test_folders_count_and_no_file_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "model"
    for n in range(9):
        (model / str(n)).mkdir(parents=True)
    (model / "8/z.json").write_text("{}")
    recipe = folder(tmp_path, HUB.replace("SOURCE", str(model)))
    monkeypatch.setattr("o1kit.sharing.inputs.MAX_FILES", 1)
    assert "8/z.json" in locked(recipe).read_text()
    for name in ("MAX_ENTRIES", "MAX_TOTAL"):
        with monkeypatch.context() as less:
            less.setattr(f"o1kit.sharing.inputs.{name}", 1)
            with pytest.raises(DataError, match="no folder of a model"):
                locked(recipe)


@pytest.mark.parametrize(
    ("put", "here", "named"),
    [
        ("models: {}", None, "model somebody/model: locked absent, here not in the local cache"),
        ("models: {}", "abc", "model somebody/model: locked absent, here abc"),
        ("models: {somebody/model: null}", "abc", "model somebody/model: locked not in the local cache, here abc"),
        ("models: {somebody/model: abc}", "def", "model somebody/model: locked abc, here def"),
        ("models: {somebody/model: abc}", "abc", ""),
    ],
)
def test_a_hub_model_is_compared_also_where_the_lock_leaves_it_out(
    put: str, here: str | None, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = locked(folder(tmp_path, HUB.replace("SOURCE", "somebody/model")))
    text, count = re.subn(r"  models:\n    somebody/model:.*", f"  {put}", lock.read_text())
    assert count == 1
    lock.write_text(text)
    monkeypatch.setattr("o1kit.sharing.inputs.cached_commit", lambda _: here)
    for absent in (True, False):
        found = [str(difference) for difference in differences(load_recipe(lock), tmp_path, absent=absent)]
        assert found == ([named] if named else [])


def test_the_files_of_a_model_folder_are_locked(tmp_path: Path) -> None:
    model = tmp_path / "tiny"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).write_text(name)
    text = PLAIN.replace(
        "{kind: scratch, hidden_size: 32, num_layers: 2, context_length: 160}", f"{{kind: hf, source: {model}}}"
    )
    lock = load_recipe(locked(folder(tmp_path, text)))
    assert lock.lock is not None and len(lock.lock.files) == 3
    require(lock, tmp_path)
    (model / "model.safetensors").write_text("retrained")
    with pytest.raises(DataError, match=r"tiny/model.safetensors: locked"):
        require(lock, tmp_path)


def test_the_tokenizer_of_a_judges_servers_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tmp_path / "words"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.json").write_text("{}")
    servers = "{kind: http, endpoints: ['http://127.0.0.1:1/v1'], tokenizer: words}"
    stage = f"  - {{kind: evaluate, name: e, policies: [model], judge: {{kind: judge, engine: {servers}}}, "
    stage += "splits: [train], searches: [{kind: best_of_n, num_samples: 2, select: best}]}\n"
    before, after = PLAIN.split("stages:\n", 1)
    text = f"{before}stages:\n{stage}{after}"
    lock = load_recipe(locked(folder(tmp_path, text)))
    assert lock.lock is not None and "words/tokenizer.json" in lock.lock.files
    monkeypatch.chdir("/")  # the folder is found beside the recipe, wherever o1kit runs
    require(load_recipe(tmp_path / "plain.lock"), tmp_path)
    (tokenizer / "tokenizer.json").write_text("{ }")
    with pytest.raises(DataError, match=r"words/tokenizer.json: locked"):
        require(load_recipe(tmp_path / "plain.lock"), tmp_path)


def test_a_run_from_a_lock_refuses_before_anything_heavy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = folder(tmp_path)
    assert main(["recipe", "lock", str(recipe), "--set", "stages.sft.steps=2"]) == 0
    lock = tmp_path / "plain.lock"
    assert load_recipe(lock).stages[0].steps == 2
    (tmp_path / "data/rows.jsonl").write_text("{}\n")
    done = o1kit("run", lock, "--runs-dir", tmp_path / "runs", code=NO_TORCH)
    assert done.returncode == 4 and "data/rows.jsonl: locked sha256" in done.stderr
    assert not (tmp_path / "runs").exists()
    assert main(["recipe", "lock", str(recipe), "--set", "stages.sft.steps=2"]) == 3, "it is there already"
    assert main(["recipe", "lock", str(recipe), "--set", "stages.sft.steps=2", "--force"]) == 0
    assert main(["recipe", "lock", str(recipe), "--out", str(recipe), "--force"]) == 4, "never over the recipe itself"
    assert main(["recipe", "lock", str(recipe), "--out", str(tmp_path / "a/b.lock")]) == 4
    assert "beside its recipe" in capsys.readouterr().err


@pytest.mark.slow
def test_running_from_a_lock_gives_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights, answers and the table, byte for byte."""
    from o1kit.control.records import Launch
    from o1kit.runner import run_plan

    sums = "[{kind: reasoning_gym, generator: chain_sum, params: {min_terms: 2, max_terms: 2}}]"
    evaluate = "{kind: evaluate, name: evaluate, policies: [sft], searches: [{kind: greedy}]}"
    text = PLAIN.replace("[{kind: jsonl, path: data/rows.jsonl, thought_field: thought}]", sums)
    text = text.replace("num_problems: 3", "num_problems: 12").replace("tracking:", f"  - {evaluate}\ntracking:")
    text = text.replace("stages:", f"  heldout: {{num_problems: 3, sources: {sums}}}\nstages:")
    (tmp_path / "r.yaml").write_text(text)
    lock = locked(tmp_path / "r.yaml")
    for name, file in (("a", tmp_path / "r.yaml"), ("b", lock)):
        plan = compile_recipe(load_recipe(file))
        launch = Launch(recipe=str(file), recipe_directory=str(tmp_path))
        run_plan(plan, recipe_directory=tmp_path, runs_dir=tmp_path / name, plain=True, launch=launch)
    a, b = tmp_path / "a/plain", tmp_path / "b/plain"
    for name in ("sft/model.safetensors", "evaluate/outputs.jsonl", "results.json"):
        assert (a / name).read_bytes() == (b / name).read_bytes()
    assert json.loads((a / "recipe.json").read_text())["lock"] is None
    assert json.loads((b / "recipe.json").read_text())["lock"]["fingerprints"]
    for run in (a, b):  # both make archives with the same lock, but for the hash of what else is installed
        (tmp_path / "x.o1r").write_bytes(pack(run).content)
        assert verify(tmp_path / "x.o1r").differences == ()
        files = read_archive((tmp_path / "x.o1r").read_bytes(), "x")[1]
        assert files["run/sft/metrics.jsonl"] and files["run/results.json"] == (run / "results.json").read_bytes()
        (tmp_path / "again.lock").write_bytes(files["recipe.lock"])
        assert load_recipe(tmp_path / "again.lock") == load_recipe(lock)

    # What goes on is compared again.
    lock.write_text(lock.read_text().replace("steps: 3", "steps: 4"))
    monkeypatch.chdir(tmp_path)  # the command changes it
    assert main(["resume", str(b), "--changed"]) == 4
    assert "stage sft: locked" in capsys.readouterr().err
